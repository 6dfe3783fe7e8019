//! The event store is lost, and made anew from a copy: who read further notices, and is whole again when rebuilt.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use system_tests::{Bank, Ended, Process, Side, Site};

use crate::teller::{audit_is_clean, audit_report, ended, euros, open, summary, token, transfer};

/// How long a restore of a few events may take.
const RESTORE_MAX: Duration = Duration::from_secs(30);
/// How long a projection may take to find out that it is ahead.
const NOTICED_MAX: Duration = Duration::from_secs(60);

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, to) = (entry?.path(), to);
        let to = to.join(entry.file_name().context("a name")?);
        if entry.is_dir() { copy_folder(&entry, &to)? } else { fs::copy(&entry, &to).map(drop)? }
    }
    Ok(())
}

async fn restore(site: &Site, from: &Path) -> anyhow::Result<Ended> {
    restore_into(site, &site.data(), from).await
}

async fn restore_into(site: &Site, data: &Path, from: &Path) -> anyhow::Result<Ended> {
    let [data, from] = [data, from].map(|path| path.to_str().context("a path that is text"));
    let (data, from) = (data?, from?);
    let command = site.command(&["restore", "--from", from, "--data", data])?;
    Process::start(command, site.folder(), "restore")?.end_within(RESTORE_MAX).await
}

/// Waits until the bank says this on standard error.
async fn says(bank: &Bank, what: &str) {
    let begun = Instant::now();
    while !bank.process().stderr().contains(what) {
        assert!(begun.elapsed() < NOTICED_MAX, "it does not say {what:?}: {}", bank.process().stderr());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_lost_event_store_is_restored_from_a_copy_and_nobody_takes_the_two_histories_for_one() -> anyhow::Result<()> {
    let site = Site::new()?;
    let copy = site.folder().join("copy");
    let bank = site.start().await?;
    let account = open(bank.surfaces(), "Ann", "EUR").await?;
    let kept = bank.surfaces().command("deposit-funds", &euros(&account, "10.00"), &[]).await?.accepted()?;
    let open_copy = restore_into(&site, &site.folder().join("elsewhere"), &site.data()).await?;
    assert!(open_copy.stderr.contains("open"), "no copy of a bank that runs: {open_copy:?}");
    assert!(!site.folder().join("elsewhere").exists(), "nothing half-made remains");
    bank.stop().await?;
    copy_folder(&site.data(), &copy)?;

    // What comes after the copy will be lost.
    let bank = site.start().await?;
    let lost = bank.surfaces().command("deposit-funds", &euros(&account, "5.00"), &[]).await?.accepted()?;
    let shown = summary(bank.surfaces(), &account, &token(&lost)?).await?;
    assert_eq!(shown["balance"], "15.00", "{shown}");
    bank.stop().await?;

    let refused = restore(&site, &copy).await?;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("not empty"), "a store that is there is left alone: {refused:?}");
    assert_eq!(refused.stderr.trim_end().lines().count(), 1, "{refused:?}");
    for service in ["accounts", "transfers", "statements"] {
        fs::remove_dir_all(site.data().join(service).join("events"))?;
    }
    let restored = restore(&site, &copy).await?;
    assert!(restored.status.success(), "{restored:?}");
    for told in ["restored    2 events of accounts", "restored    0 events of transfers", "events of statements"] {
        assert!(restored.stdout.contains(told), "{}", restored.stdout);
    }

    // Statements have seen what is lost. With the first message of the new history they say so, and mix nothing.
    let bank = site.start().await?;
    let anew = bank.surfaces().command("deposit-funds", &euros(&account, "7.00"), &[]).await?.accepted()?;
    assert_eq!(anew.json["version"], lost.json["version"], "the position is taken anew");
    says(&bank, "source forked at 2, you are at 3: rebuild").await;
    let path = format!("/queries/account-summary?account_id={account}");
    let answer = bank.surfaces().query(&path, &[("factum-at-least", &token(&anew)?)]).await?;
    assert_ne!(answer.status, 200, "they do not show what comes after the fork: {}", answer.text);
    bank.stop().await?;

    fs::remove_file(site.data().join("statements/read.db"))?;
    fs::remove_dir_all(site.data().join("bus"))?;
    let bank = site.start().await?;
    let shown = summary(bank.surfaces(), &account, &token(&anew)?).await?;
    assert_eq!(shown["balance"], "17.00", "{shown}");
    let shown = summary(bank.surfaces(), &account, &token(&kept)?).await?;
    assert_eq!(shown["balance"], "17.00", "a token from before the fork is still good: {shown}");
    audit_is_clean(&site).await?;
    bank.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_restore_that_was_interrupted_is_done_again_and_nothing_begins_anew_before() -> anyhow::Result<()> {
    let site = Site::new()?;
    let copy = site.folder().join("copy");
    let bank = site.start().await?;
    let account = open(bank.surfaces(), "Ann", "EUR").await?;
    let kept = bank.surfaces().command("deposit-funds", &euros(&account, "10.00"), &[]).await?.accepted()?;
    bank.stop().await?;
    copy_folder(&site.data(), &copy)?;
    let from_itself = restore(&site, &site.data()).await?;
    assert!(from_itself.stderr.contains("cannot be restored from itself"), "{from_itself:?}");
    let from_nowhere = restore(&site, &site.folder().join("nowhere")).await?;
    assert!(from_nowhere.stderr.contains("there is no store in the copy"), "{from_nowhere:?}");

    // Killed before it came to transfers, and while it was at accounts: half a segment is there.
    let events = |service: &str| site.data().join(service).join("events");
    for service in ["accounts", "transfers", "statements"] {
        fs::remove_dir_all(events(service))?;
    }
    fs::create_dir_all(events("accounts"))?;
    fs::write(events("accounts").join("restoring"), "")?;
    fs::write(events("accounts").join("segment-00000001.log"), "half")?;
    fs::write(site.data().join("restoring"), "")?;
    let (port_base, data) = (site.port_base().to_string(), site.data());
    let data = data.to_str().context("a path that is text")?;
    let start = site.command(&["--port-base", &port_base, "--data", data])?;
    let refused = Process::start(start, site.folder(), "refused")?.end_within(RESTORE_MAX).await?;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("was not finished: restore again"), "{refused:?}");
    assert!(!events("transfers").exists(), "nothing was begun anew");

    let restored = restore(&site, &copy).await?;
    assert!(restored.status.success(), "{restored:?}");
    for told in ["events of accounts", "events of transfers", "events of statements"] {
        assert!(restored.stdout.contains(told), "{}", restored.stdout);
    }
    assert!(!site.data().join("restoring").exists());
    let bank = site.start().await?;
    assert_eq!(summary(bank.surfaces(), &account, &token(&kept)?).await?["balance"], "10.00");
    audit_is_clean(&site).await?;
    bank.stop().await?;
    Ok(())
}

/// How long a tool may take that asks the bank something.
const TOOL_MAX: Duration = Duration::from_secs(60);

/// Accounts alone are lost, and made anew from an older copy: transfers have heard what is gone.
#[tokio::test]
async fn accounts_restored_from_an_older_copy_than_transfers_go_on_when_that_is_accepted() -> anyhow::Result<()> {
    let site = Site::new()?;
    let copy = site.folder().join("copy");
    let bank = site.start().await?;
    let [ann, bob] = [open(bank.surfaces(), "Ann", "EUR").await?, open(bank.surfaces(), "Bob", "EUR").await?];
    bank.surfaces().command("deposit-funds", &euros(&ann, "10.00"), &[]).await?.accepted()?;
    bank.stop().await?;
    copy_folder(&site.data(), &copy)?;

    // What comes after the copy is lost in accounts, and stays in transfers.
    let bank = site.start().await?;
    bank.surfaces().command("deposit-funds", &euros(&ann, "5.00"), &[]).await?.accepted()?;
    let lost = bank.surfaces().command("request-transfer", &transfer(&ann, &bob, "12.00"), &[]).await?.accepted()?;
    assert_eq!(ended(bank.surfaces(), &lost).await?["status"], "completed");
    bank.stop().await?;
    fs::remove_dir_all(site.data().join("accounts").join("events"))?;
    let restored = restore(&site, &copy).await?;
    assert!(restored.stdout.contains("restored    3 events of accounts"), "{restored:?}");
    assert!(restored.stdout.contains("bank forks accept"), "{restored:?}");

    // Nothing new has happened, and both who have heard what is gone say so.
    let bank = site.start().await?;
    says(&bank, "source forked at 3").await;
    says(&bank, "/admin/forks").await;
    let asked = bank.surfaces().command("request-transfer", &transfer(&ann, &bob, "1.00"), &[]).await?.accepted()?;
    let listed = site.run_tool("forks", &["list", "--json"], TOOL_MAX).await?;
    let forks: serde_json::Value = serde_json::from_str(&listed.stdout).with_context(|| listed.stderr.clone())?;
    let of_lost = |fork: &serde_json::Value| {
        let processes = fork["fork"]["heard"]["processes"].as_array().cloned().unwrap_or_default();
        processes.contains(&format!("transfer-{}", lost.field("id")).into())
    };
    assert!(forks.as_array().is_some_and(|forks| forks.iter().any(of_lost)), "{forks:#}");

    let accept = ["accept", "transfers", "--reason", "accounts is as of the copy", "--actor", "ada"];
    let accepted = site.run_tool("forks", &accept, TOOL_MAX).await?;
    assert!(accepted.status.success() && accepted.stdout.contains("they go on"), "{accepted:?}");
    assert_eq!(ended(bank.surfaces(), &asked).await?["status"], "completed", "new transfers end");
    let statements = site.run_tool("forks", &["accept", "statements", "--reason", "nothing to do"], TOOL_MAX).await?;
    assert!(statements.stdout.starts_with("nobody in statements stands at a fork"), "{statements:?}");
    let again = site.run_tool("forks", &accept, TOOL_MAX).await?;
    assert_eq!(again.stdout, "nobody in transfers stands at a fork\n");
    let recorded = bank.surfaces().events_of(Side::Transfers).await?;
    let decided = |event: &&serde_json::Value| event["type"] == "fork.accepted";
    let decision = recorded.iter().find(decided).context("the decision is recorded")?;
    assert_eq!((&decision["data"]["fork"], &decision["metadata"]["actor"]), (&3.into(), &"ada".into()), "{decision}");

    // The read models are built anew by one command, and show what accounts say.
    let rebuilt = site.run_tool("rebuild", &["statements", "--replace"], TOOL_MAX).await?;
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    let anew = bank.surfaces().command("deposit-funds", &euros(&ann, "4.00"), &[]).await?.accepted()?;
    let shown = summary(bank.surfaces(), &ann, &token(&anew)?).await?;
    assert_eq!(shown["balance"], "13.00", "without the deposit there was not enough for what was lost: {shown}");

    // What transfers believe and accounts do not say is told, not passed over.
    let (report, code) = audit_report(&site).await?;
    assert_ne!(code, Some(0), "{report:#}");
    assert!(report.to_string().contains(lost.field("id")), "{report:#}");
    bank.stop().await?;
    // Started again, they go on where they were.
    let bank = site.start().await?;
    let asked = bank.surfaces().command("request-transfer", &transfer(&ann, &bob, "2.00"), &[]).await?.accepted()?;
    assert_eq!(ended(bank.surfaces(), &asked).await?["status"], "completed");
    bank.stop().await?;
    Ok(())
}
