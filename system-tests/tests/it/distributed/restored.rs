//! Accounts' event store is lost and made anew from an older copy, while the cluster has what came after the copy.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context as _, ensure};
use system_tests::{Process, binary};

use super::{PATIENCE, POLL, Service, Town, relay_of_accounts};
use crate::teller::{ended, euros, open, summary, token, transfer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_event_store_restored_from_an_older_backup() -> anyhow::Result<()> {
    let Some(town) = Town::on_shared("accounts restored from an older copy, on Kafka")? else { return Ok(()) };
    let [accounts, transfers, statements] =
        town.start_all([Service::Accounts, Service::Transfers, Service::Statements]).await?;
    let bank = town.surfaces();
    let (ann, bob) = (open(&bank, "Ann", "EUR").await?, open(&bank, "Bob", "EUR").await?);
    bank.command("deposit-funds", &euros(&ann, "10.00"), &[]).await?.accepted()?;
    relay_of_accounts(&bank, |relay| relay["lag"] == 0).await?;
    let copy = town.site().folder().join("copy");
    let data = town.data(Service::Accounts);
    stop(accounts).await?;
    copy_folder(&data.join("accounts"), &copy.join("accounts"))?;

    // What comes after the copy is lost in accounts; the cluster, transfers and statements have it.
    let mut accounts = town.start(Service::Accounts).await?;
    bank.command("deposit-funds", &euros(&ann, "5.00"), &[]).await?.accepted()?;
    let lost = bank.command("request-transfer", &transfer(&ann, &bob, "12.00"), &[]).await?.accepted()?;
    ensure!(ended(&bank, &lost).await?["status"] == "completed", "it works");
    accounts.kill()?;
    fs::remove_dir_all(data.join("accounts/events"))?;
    let mut restore = Command::new(binary("accounts")?);
    restore.arg("restore").arg("--from").arg(&copy).arg("--data").arg(&data);
    let restored = Process::start(restore, town.site().folder(), "restore")?.end_within(PATIENCE).await?;
    ensure!(restored.status.success() && restored.stdout.contains("restored    3 events"), "{restored:?}");

    // Nothing new has happened, and both who have heard what is gone say so.
    let _accounts = town.start(Service::Accounts).await?;
    for reader in [&transfers, &statements] {
        has_said(reader, "source forked at 3").await?;
    }
    for tool in
        [&["forks", "accept", "transfers", "--reason", "the copy counts"][..], &["rebuild", "statements", "--replace"]]
    {
        let (name, arguments) = tool.split_first().context("a tool")?;
        let done = town.site().run_tool(name, arguments, PATIENCE).await?;
        ensure!(done.status.success(), "{done:?}");
    }
    let anew = token(&bank.command("deposit-funds", &euros(&ann, "4.00"), &[]).await?.accepted()?)?;
    // Who reads both histories for the first time makes the same of them.
    let _replica = town.start(Service::Replica).await?;
    for bank in [&bank, &town.replica()] {
        let shown = summary(bank, &ann, &anew).await?;
        ensure!(shown["balance"] == "14.00" && shown["available"] == "14.00", "{shown}");
    }
    Ok(())
}

async fn has_said(process: &Process, words: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !process.stderr().contains(words) {
        ensure!(begun.elapsed() < PATIENCE, "does not say {words:?}: {}", process.stderr());
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

async fn stop(mut process: Process) -> anyhow::Result<()> {
    process.terminate()?;
    let ended = process.end_within(PATIENCE).await?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?.path();
        let to = to.join(entry.file_name().context("a name")?);
        if entry.is_dir() { copy_folder(&entry, &to)? } else { fs::copy(&entry, &to).map(drop)? }
    }
    Ok(())
}
