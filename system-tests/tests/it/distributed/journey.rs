//! A transfer through three processes, seen by two replicas of the read side.

use anyhow::ensure;
use serde_json::json;
use system_tests::Side;

use super::{Service, Town, until};
use crate::teller::{ended, euros, open, summary, token, transfer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_goes_through_three_processes_and_both_replicas_show_it() -> anyhow::Result<()> {
    let Some(town) = Town::on_shared("a transfer through three processes")? else { return Ok(()) };
    let running = town.start_all(Service::ALL).await?;
    let (bank, replica) = (town.surfaces(), town.replica());
    let (ada, bob) = (open(&bank, "Ada", "EUR").await?, open(&bank, "Bob", "EUR").await?);
    bank.command("deposit-funds", &euros(&ada, "125.00"), &[]).await?.accepted()?;

    let requested = bank.command("request-transfer", &transfer(&ada, &bob, "25.00"), &[]).await?.accepted()?;
    for bank in [&bank, &replica] {
        let shown = ended(bank, &requested).await?;
        ensure!(shown["status"] == "completed", "{shown}");
    }
    // A deposit's token is of use at either: what came before it is there as well.
    let deposited = bank.command("deposit-funds", &euros(&ada, "1.00"), &[]).await?.accepted()?;
    let token = token(&deposited)?;
    let mut statements = Vec::new();
    for bank in [&bank, &replica] {
        let shown = summary(bank, &ada, &token).await?;
        ensure!(shown["balance"] == "101.00" && shown["available"] == "101.00", "{shown}");
        statements.push(bank.statement(&ada, &token).await?);
    }
    ensure!(statements[0] == statements[1], "{statements:#?}");
    let amounts: Vec<_> = statements[0].iter().filter_map(|line| line["amount"].as_str()).collect();
    ensure!(amounts == ["125.00", "-25.00", "1.00"], "{amounts:?}");
    town.audit().await?;
    for mut process in running {
        process.terminate()?;
        let ended = process.end_within(super::PATIENCE).await?;
        ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    }
    Ok(())
}

/// Replicas share nothing: one that comes late, or whose read database is lost, reads every topic from the beginning, and
/// the others do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_comes_late_reads_everything_and_displaces_nobody() -> anyhow::Result<()> {
    let Some(town) = Town::on_shared("a replica that comes late")? else { return Ok(()) };
    let _running = town.start_all([Service::Accounts, Service::Transfers, Service::Statements]).await?;
    let (bank, late) = (town.surfaces(), town.replica());
    let account = open(&bank, "Ada", "EUR").await?;
    for amount in ["10.00", "20.00", "30.00"] {
        bank.command("deposit-funds", &euros(&account, amount), &[]).await?.accepted()?;
    }
    let mut replica = town.start(Service::Replica).await?;
    let deposit = euros(&account, "40.00");
    let last = token(&bank.command("deposit-funds", &deposit, &[]).await?.accepted()?)?;
    for bank in [&bank, &late] {
        ensure!(summary(bank, &account, &last).await?["balance"] == "100.00", "not all of it");
    }
    let lost = town.data(Service::Replica);
    replica.kill()?;
    std::fs::remove_dir_all(&lost)?;
    let _replica = town.start(Service::Replica).await?;
    let last = token(&bank.command("deposit-funds", &deposit, &[]).await?.accepted()?)?;
    for bank in [&bank, &late] {
        ensure!(summary(bank, &account, &last).await?["balance"] == "140.00", "not all of it");
        until(bank, (Side::Read, "/admin/consumers"), |_, told| {
            let consumers = told["consumers"].as_array().filter(|consumers| !consumers.is_empty());
            consumers.is_some_and(|consumers| consumers.iter().all(|consumer| consumer["lag"] == json!(0)))
        })
        .await?;
    }
    town.audit().await
}
