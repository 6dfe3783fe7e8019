//! Read models are restored by themselves when their database is damaged, and rebuilt while they answer.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use system_tests::{Bank, Side, Site, Surfaces};

use crate::teller::{audit_is_clean, euros, open, summary, token};

/// How long a load, or anything done with read models, may take on a busy machine.
const TOOL_MAX: Duration = Duration::from_secs(240);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Opens accounts and moves money; the audit afterwards was clean.
async fn load(site: &Site, operations: &str) -> anyhow::Result<()> {
    let options = ["--accounts", "20", "--operations", operations, "--concurrency", "16", "--seed", "7", "--json"];
    let load = site.run_tool("load", &options, TOOL_MAX).await?;
    ensure!(load.status.success(), "{}{}", load.stdout, load.stderr);
    Ok(())
}

/// Runs a tool on the read models of statements; what it says.
async fn models(site: &Site, tool: &str) -> anyhow::Result<String> {
    let ended = site.run_tool(tool, &["statements"], TOOL_MAX).await?;
    ensure!(ended.status.success(), "{tool}: {}{}", ended.stdout, ended.stderr);
    Ok(ended.stdout)
}

/// How the read models are.
async fn shown(bank: &Surfaces) -> anyhow::Result<Vec<Value>> {
    let answer = bank.send(Side::Read, "GET", "/admin/read-models", Vec::new(), &[]).await?.accepted()?;
    Ok(answer.json["read_models"].as_array().context("read models")?.clone())
}

/// The generations of every read model, with their roles.
async fn generations(bank: &Surfaces) -> anyhow::Result<Vec<String>> {
    let told = |one: &Value| format!("{} {}", one["generation"], one["role"].as_str().unwrap_or_default());
    let of = |model: &Value| model["generations"].as_array().map(|all| all.iter().map(told).collect::<Vec<_>>());
    Ok(shown(bank).await?.iter().map(|model| of(model).unwrap_or_default().join(", ")).collect())
}

/// Waits until no read model is being filled.
async fn whole(bank: &Surfaces) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let models = shown(bank).await?;
        if models.iter().all(|model| model["progress"].is_null() && model["operation"].is_null()) {
            return Ok(());
        }
        ensure!(begun.elapsed() < TOOL_MAX, "not whole: {models:#?}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn a_damaged_read_database_and_a_deleted_bus_come_back_with_the_same_checksum() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    load(&site, "1500").await?;
    let before = models(&site, "verify").await?;
    ensure!(
        before.lines().count() >= 3 && before.lines().all(|line| line.contains("equal to a fresh fold")),
        "{before}"
    );
    bank.stop().await?;
    let path = site.data().join("statements/read.db");

    fs::write(&path, vec![b'x'; 100_000])?;
    let bank = site.start().await?;
    whole(bank.surfaces()).await?;
    assert_eq!(models(&site, "verify").await?, before, "overwritten with garbage");
    bank.stop().await?;

    for parts in [2, 3] {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(file.metadata()?.len() / parts)?;
        let bank = site.start().await?;
        whole(bank.surfaces()).await?;
        assert_eq!(models(&site, "verify").await?, before, "cut to one of {parts} parts");
        bank.stop().await?;
    }

    fs::remove_file(&path)?;
    let bank = site.start().await?;
    whole(bank.surfaces()).await?;
    assert_eq!(models(&site, "verify").await?, before, "deleted");
    bank.stop().await?;

    fs::remove_dir_all(site.data().join("bus"))?;
    let bank = site.start().await?;
    whole(bank.surfaces()).await?;
    assert_eq!(models(&site, "verify").await?, before, "without its bus");
    bank.stop().await?;
    fs::remove_file(&path)?;
    let bank = site.start().await?;
    whole(bank.surfaces()).await?;
    assert_eq!(models(&site, "verify").await?, before, "the bus deleted, then the read database");

    // Under the running bank: everything behind the first pages, in the file and in what is not yet in it.
    for file in ["read.db", "read.db-wal"] {
        let Ok(file) = OpenOptions::new().write(true).open(site.data().join("statements").join(file)) else { continue };
        let bytes = file.metadata()?.len();
        let garbage = vec![0xff; usize::try_from(bytes.saturating_sub(8_192))?];
        file.write_all_at(&garbage, 8_192)?;
    }
    let account = open(bank.surfaces(), "Ann", "EUR").await?;
    let deposited = bank.surfaces().command("deposit-funds", &euros(&account, "5.00"), &[]).await?.accepted()?;
    notices_damage(&site, &bank).await?;
    whole(bank.surfaces()).await?;
    let shown = summary(bank.surfaces(), &account, &token(&deposited)?).await?;
    assert_eq!(shown["balance"], "5.00");
    audit_is_clean(&site).await?;
    let after = models(&site, "verify").await?;
    ensure!(after.lines().all(|line| line.contains("equal to a fresh fold")), "{after}");
    bank.stop().await?;
    Ok(())
}

/// Asks until somebody has met the damage and put the file aside.
async fn notices_damage(site: &Site, bank: &Bank) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !site.data().join("statements/read.db.damaged-4").exists() {
        // Whatever it answers: it is what makes the service look.
        let _answer = bank.surfaces().query("/queries/accounts?holder=Ann&limit=500", &[]).await?;
        let account = open(bank.surfaces(), "Ben", "EUR").await?;
        let _answer = bank.surfaces().query(&format!("/queries/statement?account_id={account}"), &[]).await?;
        ensure!(begun.elapsed() < TOOL_MAX, "nobody noticed");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_read_database_or_bus_that_is_deleted_under_the_running_bank_is_missed_at_the_next_start()
-> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    load(&site, "300").await?;
    let account = open(bank.surfaces(), "Ann", "EUR").await?;
    let deposited = bank.surfaces().command("deposit-funds", &euros(&account, "5.00"), &[]).await?.accepted()?;
    assert_eq!(summary(bank.surfaces(), &account, &token(&deposited)?).await?["balance"], "5.00");
    let before = models(&site, "verify").await?;
    for file in fs::read_dir(site.data().join("statements"))? {
        let path = file?.path();
        if path.is_file() {
            fs::remove_file(path)?;
        }
    }
    // What it has open it goes on with.
    assert_eq!(summary(bank.surfaces(), &account, &token(&deposited)?).await?["balance"], "5.00");
    audit_is_clean(&site).await?;
    bank.stop().await?;
    let bank = site.start().await?;
    whole(bank.surfaces()).await?;
    assert_eq!(models(&site, "verify").await?, before, "filled anew");

    fs::remove_dir_all(site.data().join("bus"))?;
    let deposited = bank.surfaces().command("deposit-funds", &euros(&account, "5.00"), &[]).await?.accepted()?;
    assert_eq!(summary(bank.surfaces(), &account, &token(&deposited)?).await?["balance"], "10.00");
    let before = models(&site, "verify").await?;
    // The marker of a clean end has no place any more, which it says.
    let ended = bank.stop().await?;
    assert!(!ended.status.success() && ended.stderr.contains("the bus is unavailable"), "{ended:?}");
    let bank = site.start().await?;
    whole(bank.surfaces()).await?;
    assert_eq!(models(&site, "verify").await?, before, "with a new bus");
    audit_is_clean(&site).await?;
    bank.stop().await?;
    Ok(())
}

#[tokio::test]
async fn read_models_are_rebuilt_under_load_and_no_query_fails() -> anyhow::Result<()> {
    let site = Arc::new(Site::new()?);
    let bank = site.start().await?;
    load(&site, "500").await?;
    let account = open(bank.surfaces(), "Ann", "EUR").await?;
    let first = bank.surfaces().command("deposit-funds", &euros(&account, "1.00"), &[]).await?.accepted()?;
    summary(bank.surfaces(), &account, &token(&first)?).await?;

    let over = Arc::new(AtomicBool::new(false));
    let asking = {
        let (surfaces, account, over) = (bank.surfaces().clone(), account.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let (path, mut last, mut asked) = (format!("/queries/account-summary?account_id={account}"), 0, 0);
            while !over.load(Ordering::SeqCst) {
                let answer = surfaces.query(&path, &[]).await?.accepted()?;
                let version = answer.json["version"].as_u64().context("a version")?;
                ensure!(version >= last, "back in time: {version} after {last}");
                (last, asked) = (version, asked + 1);
            }
            anyhow::Ok(asked)
        })
    };
    let moving = {
        let (surfaces, account, over) = (bank.surfaces().clone(), account.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let mut deposits = 1;
            while !over.load(Ordering::SeqCst) {
                surfaces.command("deposit-funds", &euros(&account, "1.00"), &[]).await?.accepted()?;
                deposits += 1;
            }
            anyhow::Ok(deposits)
        })
    };
    let rebuilt = models(&site, "rebuild").await?;
    ensure!(rebuilt.lines().all(|line| line.contains("generation 2 answers instead of 1")), "{rebuilt}");
    models(&site, "roll-back").await?;
    let at = generations(bank.surfaces()).await?;
    ensure!(at.iter().all(|one| one == "1 live, 2 kept"), "{at:?}");
    models(&site, "verify").await?;
    let dropped = models(&site, "discard").await?;
    ensure!(dropped.lines().all(|line| line.contains(": dropped ") && line.contains("generation 2")), "{dropped}");
    models(&site, "rebuild").await?;
    over.store(true, Ordering::SeqCst);
    let deposits: u64 = moving.await??;
    ensure!(asking.await?? > 0, "nobody asked");
    let last = bank.surfaces().command("deposit-funds", &euros(&account, "1.00"), &[]).await?.accepted()?;
    let shown = summary(bank.surfaces(), &account, &token(&last)?).await?;
    assert_eq!(shown["balance"], format!("{}.00", deposits + 1));
    audit_is_clean(&site).await?;
    let metrics = bank.surfaces().query("/metrics", &[]).await?.accepted()?.text;
    ensure!(metrics.contains("factum_read_model_generation{"), "{metrics}");
    bank.stop().await?;
    Ok(())
}

/// An operator sees why queries wait longer.
#[tokio::test]
async fn how_much_of_the_time_read_models_are_filled_is_an_option_and_shown() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start_with(&["--rebuild-share", "100"]).await?;
    load(&site, "50").await?;
    models(&site, "rebuild").await?;
    for model in shown(bank.surfaces()).await? {
        let told = |one: &Value| (one["role"].as_str().unwrap_or_default().to_owned(), one["share_percent"].as_u64());
        let told: Vec<_> = model["generations"].as_array().context("generations")?.iter().map(told).collect();
        // There is no more than all of it.
        assert_eq!(told, [("kept".to_owned(), Some(100)), ("live".to_owned(), None)], "{model:#}");
    }
    let metrics = bank.surfaces().query("/metrics", &[]).await?.accepted()?.text;
    let shares = metrics.lines().filter(|line| line.starts_with("factum_filling_share_percent{"));
    let shares: Vec<_> = shares.collect();
    ensure!(shares.len() >= 3 && shares.iter().all(|line| line.ends_with("role=\"kept\"} 100")), "{metrics}");
    bank.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_bank_killed_while_it_rebuilds_goes_on_with_it() -> anyhow::Result<()> {
    let site = Site::new()?;
    let mut bank = site.start().await?;
    load(&site, "1500").await?;
    for round in 0..3_u64 {
        bank.surfaces().send(Side::Read, "POST", "/admin/read-models/rebuild", Vec::new(), &[]).await?;
        // Somewhere on its way, another place each time.
        tokio::time::sleep(Duration::from_millis(20 * round)).await;
        bank.kill()?;
        bank = site.start().await?;
        whole(bank.surfaces()).await?;
        let checked = models(&site, "verify").await?;
        ensure!(checked.lines().all(|line| line.contains("equal to a fresh fold")), "{checked}");
        models(&site, "discard").await?;
        let at = generations(bank.surfaces()).await?;
        ensure!(at.iter().all(|one| one.ends_with(" live") && !one.contains(',')), "{at:?}");
    }
    audit_is_clean(&site).await?;
    bank.stop().await?;
    Ok(())
}
