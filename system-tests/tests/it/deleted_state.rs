//! Everything derived can be deleted: the read database, and then the bus too, come back from the event store.

use std::fs;

use serde_json::Value;
use system_tests::{Bank, Site};

use crate::teller::{audit_is_clean, euros, open, summary, token};

/// More than one page of a statement, so that cursors are crossed.
const DEPOSITS: usize = 120;

#[tokio::test]
async fn deleted_read_models_and_bus_come_back_from_the_events() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let mut accounts = Vec::new();
    for holder in ["Ann", "Ben", "Cleo", "Dora"] {
        accounts.push(open(bank.surfaces(), holder, "EUR").await?);
    }
    // A token is waited for on its own stream's partition: each account is asked with its own.
    let mut last = vec![String::new(); accounts.len()];
    for number in 0..DEPOSITS {
        // The first account gets every second deposit.
        let index = if number % 2 == 0 { 0 } else { number / 2 % accounts.len() };
        let deposit = euros(&accounts[index], "1.01");
        last[index] = token(&bank.surfaces().command("deposit-funds", &deposit, &[]).await?.accepted()?)?;
    }
    let withdrawn = bank.surfaces().command("withdraw-funds", &euros(&accounts[0], "60.60"), &[]).await?.accepted()?;
    last[0] = token(&withdrawn)?;
    let before = answers(&bank, &accounts, &last).await?;
    bank.stop().await?;
    assert_eq!(fs::read_dir(site.data().join("statements"))?.count(), 2, "a clean stop leaves read.db and events");

    fs::remove_file(site.data().join("statements/read.db"))?;
    let bank = site.start().await?;
    assert_eq!(answers(&bank, &accounts, &last).await?, before, "without read.db");
    bank.stop().await?;

    fs::remove_file(site.data().join("statements/read.db"))?;
    fs::remove_dir_all(site.data().join("bus"))?;
    let bank = site.start().await?;
    assert_eq!(answers(&bank, &accounts, &last).await?, before, "without read.db and bus");
    bank.stop().await?;

    fs::remove_dir_all(site.data().join("bus"))?;
    let bank = site.start().await?;
    assert_eq!(answers(&bank, &accounts, &last).await?, before, "without bus");
    // A killed bank leaves the database's log beside it: without the database it is worth nothing.
    bank.kill()?;
    fs::remove_file(site.data().join("statements/read.db"))?;
    let bank = site.start().await?;
    assert_eq!(answers(&bank, &accounts, &last).await?, before, "without read.db, after a kill");

    let more = bank.surfaces().command("deposit-funds", &euros(&accounts[1], "5.00"), &[]).await?.accepted()?;
    let shown = summary(bank.surfaces(), &accounts[1], &token(&more)?).await?;
    assert_eq!(shown["version"], more.json["version"], "what comes after is shown as well");
    audit_is_clean(&site).await?;
    bank.stop().await?;
    Ok(())
}

/// Summaries and whole statements of all accounts, once everything up to their tokens is there.
async fn answers(bank: &Bank, accounts: &[String], tokens: &[String]) -> anyhow::Result<Vec<Value>> {
    let mut answers = Vec::new();
    for (account, token) in accounts.iter().zip(tokens) {
        answers.push(summary(bank.surfaces(), account, token).await?);
        answers.extend(bank.surfaces().statement(account, token).await?);
    }
    Ok(answers)
}
