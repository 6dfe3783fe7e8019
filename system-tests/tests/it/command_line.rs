//! What an operator types, and reads when it is wrong: one line, exit status 1.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use system_tests::{Ended, PortBase, Process, Site};

use crate::teller::open;

/// How long a refusal may take.
const REFUSAL_MAX: Duration = Duration::from_secs(30);

async fn run(site: &Site, command: Command) -> anyhow::Result<Ended> {
    Process::start(command, site.folder(), "refused")?.end_within(REFUSAL_MAX).await
}

/// Exit status 1 and one line that names `what`.
#[track_caller]
fn is_refused_in_one_line(ended: &Ended, what: &str) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(what), "it should name {what:?}: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_data_folder_has_one_bank() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let other_ports = PortBase::take()?;
    let other_port_base = other_ports.get().to_string();
    let data = site.data();
    let data = data.to_str().context("a path that is text")?;

    let second = run(&site, site.command(&["--port-base", &other_port_base, "--data", data])?).await?;

    is_refused_in_one_line(&second, data);
    open(bank.surfaces(), "Ann", "EUR").await.context("the first is not disturbed")?;
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let port_base = site.port_base().to_string();

    let second = run(&site, site.command(&["--port-base", &port_base, "--data", "elsewhere"])?).await?;

    is_refused_in_one_line(&second, &(site.port_base() + 1).to_string());
    open(bank.surfaces(), "Ann", "EUR").await.context("the first is not disturbed")?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_option_is_refused() -> anyhow::Result<()> {
    let site = Site::new()?;
    let unknown = run(&site, site.command(&["--durability", "none"])?).await?;
    is_refused_in_one_line(&unknown, "'--durability'");
    let help = run(&site, site.command(&["--help"])?).await?;
    assert!(help.status.success());
    for option in ["--port-base", "--data", "--log-level", "--log-format", "load", "audit", "events"] {
        assert!(help.stdout.contains(option), "{option} is not in the help: {}", help.stdout);
    }
    assert!(help.stdout.contains("[default: 7000]"), "{}", help.stdout);
    Ok(())
}

#[tokio::test]
async fn an_option_wins_over_the_environment_and_that_over_the_file() -> anyhow::Result<()> {
    let site = Site::new()?;
    let taken = [PortBase::take()?, PortBase::take()?];
    let [in_file, in_environment] = [taken[0].get(), taken[1].get()];
    let file = site.folder().join("bank.toml");
    fs::write(&file, format!("port_base = {in_file}\ndata = \"from-file\"\n"))?;
    let file = file.to_str().context("a path that is text")?;

    let bank = site.start_command(site.command(&["--config", file])?, in_file).await?;
    bank.stop().await?;
    assert!(site.folder().join("from-file/accounts/events").is_dir());

    let mut with_environment = site.command(&["--config", file])?;
    with_environment.env("BANK_PORT_BASE", in_environment.to_string());
    site.start_command(with_environment, in_environment).await?.stop().await?;

    let port_base = site.port_base().to_string();
    let mut with_option = site.command(&["--config", file, "--port-base", &port_base, "--data", "from-option"])?;
    with_option.env("BANK_PORT_BASE", in_environment.to_string()).env("BANK_DATA", "from-environment");
    site.start_command(with_option, site.port_base()).await?.stop().await?;
    assert!(site.folder().join("from-option/accounts/events").is_dir());
    assert!(!site.folder().join("from-environment").exists());

    let by_default = site.command(&["--port-base", &port_base])?;
    let bank = site.start_command(by_default, site.port_base()).await?;
    assert!(site.folder().join("data/accounts/events").is_dir(), "the default is ./data");
    let mut audit = site.command(&["audit"])?;
    audit.env("BANK_PORT_BASE", &port_base);
    let audit = run(&site, audit).await?;
    assert!(audit.status.success(), "the tools read the environment too: {}", audit.stderr);
    bank.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_setting_that_does_not_exist_is_no_setting() -> anyhow::Result<()> {
    let site = Site::new()?;
    let file = site.folder().join("bank.toml");
    fs::write(&file, "port_bace = 7000\n")?;
    let misspelt = run(&site, site.command(&["--config", "bank.toml"])?).await?;
    assert_eq!(misspelt.status.code(), Some(1));
    is_refused_in_one_line(&misspelt, "port_bace");
    assert!(misspelt.stderr.contains("bank.toml, line "), "{}", misspelt.stderr);

    // Taken for the name of a module, it would silence everything.
    let misspelt = run(&site, site.command(&["--log-level", "inof"])?).await?;
    assert_eq!(misspelt.status.code(), Some(1));
    is_refused_in_one_line(&misspelt, "inof");

    let missing = run(&site, site.command(&["--config", "no-such-file.toml"])?).await?;
    is_refused_in_one_line(&missing, "no-such-file.toml");
    let too_high = run(&site, site.command(&["--port-base", "65535"])?).await?;
    is_refused_in_one_line(&too_high, "65535");
    for share in ["0", "101"] {
        let no_share = run(&site, site.command(&["--rebuild-share", share])?).await?;
        is_refused_in_one_line(&no_share, &format!("rebuild share {share}"));
    }
    Ok(())
}

#[tokio::test]
async fn what_was_typed_is_told_without_what_it_would_do_to_a_terminal() -> anyhow::Result<()> {
    let site = Site::new()?;
    let hostile = "a\nb\u{1b}[31m";
    for arguments in [
        vec!["trace", hostile],
        vec!["--config", hostile],
        vec!["--log-level", hostile],
        vec!["restore", "--from", hostile],
        vec![hostile],
    ] {
        let refused = run(&site, site.command(&arguments)?).await?;
        is_refused_in_one_line(&refused, "a");
        assert!(!refused.stderr.contains('\u{1b}'), "{arguments:?}: {}", refused.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn logs_can_be_json() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start_with(&["--log-format", "json", "--log-level", "debug"]).await?;
    open(bank.surfaces(), "Ann Secret", "EUR").await?;
    let ended = bank.stop().await?;
    assert!(ended.status.success());
    assert!(ended.stderr.lines().count() > 0, "it says at least that it listens");
    for line in ended.stderr.lines() {
        let entry: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        assert!(entry.get("level").is_some(), "{line}");
    }
    assert!(!ended.stderr.contains("Ann Secret"), "holders are not logged: {}", ended.stderr);
    Ok(())
}
