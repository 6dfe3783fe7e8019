//! The broker is away: killed under the bank, or not there yet when the bank starts.

use std::time::{Duration, Instant};

use anyhow::ensure;
use local_services::{Kafka, KafkaOptions, own_kafka_for_tests};
use serde_json::json;
use system_tests::Side;
use tokio::task::block_in_place;

use super::{PATIENCE, Service, TAKE_OVER_MAX, Town, relay_of_accounts, until};
use crate::teller::{ended, euros, open, summary, token, transfer};

/// Within what a broker that is back is noticed.
const NOTICED_MAX: Duration = Duration::from_secs(5);

/// A broker of the test's own, not started, and a place on it.
pub(super) fn own(story: &str) -> anyhow::Result<Option<(tempfile::TempDir, Kafka, Town)>> {
    let folder = tempfile::tempdir()?;
    let Some(kafka) = block_in_place(|| own_kafka_for_tests(story, KafkaOptions::new(folder.path()))) else {
        return Ok(None);
    };
    let town = Town::on(kafka.bootstrap())?;
    Ok(Some((folder, kafka, town)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_bus_down() -> anyhow::Result<()> {
    let Some((_folder, mut kafka, town)) = own("the broker is killed under the bank")? else { return Ok(()) };
    block_in_place(|| kafka.start())?;
    let [_accounts, _transfers, mut statements, _replica] = town.start_all(Service::ALL).await?;
    let (bank, replica) = (town.surfaces(), town.replica());
    let (ada, bob) = (open(&bank, "Ada", "EUR").await?, open(&bank, "Bob", "EUR").await?);
    let deposit = euros(&ada, "100.00");
    let before = token(&bank.command("deposit-funds", &deposit, &[]).await?.accepted()?)?;
    for bank in [&bank, &replica] {
        ensure!(summary(bank, &ada, &before).await?["balance"] == "100.00", "the bank works");
    }

    kafka.kill()?;
    // Commands are decided, queries answered, by those who stay and by one who comes back.
    bank.command("deposit-funds", &deposit, &[]).await?.accepted()?;
    let requested = bank.command("request-transfer", &transfer(&ada, &bob, "25.00"), &[]).await?.accepted()?;
    statements.kill()?;
    let _statements = town.start(Service::Statements).await?;
    for bank in [&bank, &replica] {
        let path = format!("/queries/account-summary?account_id={ada}");
        until(bank, (Side::Read, &path), |status, shown| status == 200 && shown["balance"] == "100.00").await?;
    }
    relay_of_accounts(&bank, |relay| relay["lag"].as_u64() >= Some(1) && relay["last_error"].is_string()).await?;
    let last = token(&bank.command("deposit-funds", &euros(&ada, "1.00"), &[]).await?.accepted()?)?;
    relay_of_accounts(&bank, |relay| relay["lag"].as_u64() >= Some(2)).await?;
    // How far readers are behind only the broker knows; that it is away is told.
    let lag = bank.send(Side::Read, "GET", "/admin/consumers", Vec::new(), &[]).await?;
    ensure!(lag.status == 503 && lag.field("code") == "unavailable", "{}", lag.text);

    block_in_place(|| kafka.start())?;
    let back = Instant::now();
    relay_of_accounts(&bank, |relay| relay["lag"] == json!(0)).await?;
    let published = back.elapsed();
    for bank in [&bank, &replica] {
        summary(bank, &ada, &last).await?;
    }
    let shown = back.elapsed();
    println!("after the broker answered again: published after {published:?}, shown by both replicas after {shown:?}");
    ensure!(published < NOTICED_MAX && shown < NOTICED_MAX, "{published:?}, {shown:?}");
    for bank in [&bank, &replica] {
        ensure!(ended(bank, &requested).await?["status"] == "completed", "the transfer was left behind");
    }
    ensure!(back.elapsed() < TAKE_OVER_MAX, "{:?}", back.elapsed());
    town.audit().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_services_start_and_stop_while_the_broker_is_away_and_catch_up_when_it_comes() -> anyhow::Result<()> {
    let Some((_folder, mut kafka, town)) = own("services start while the broker is away")? else { return Ok(()) };
    let bank = town.surfaces();
    let mut accounts = town.start(Service::Accounts).await?;
    let (ada, bob) = (open(&bank, "Ada", "EUR").await?, open(&bank, "Bob", "EUR").await?);
    accounts.terminate()?;
    let stopping = Instant::now();
    let stopped = accounts.end_within(PATIENCE).await?;
    ensure!(stopped.status.success(), "{}", stopped.stderr);
    println!("stopped {:?} after it was told to, without a broker", stopping.elapsed());
    let _running = town.start_all(Service::ALL).await?;
    let last = bank.command("deposit-funds", &euros(&ada, "100.00"), &[]).await?.accepted()?;
    let requested = bank.command("request-transfer", &transfer(&ada, &bob, "25.00"), &[]).await?.accepted()?;
    // Two accounts and a deposit wait.
    relay_of_accounts(&bank, |relay| relay["lag"] == json!(3)).await?;

    block_in_place(|| kafka.start())?;
    let there = Instant::now();
    summary(&bank, &ada, &token(&last)?).await?;
    let took = there.elapsed();
    println!("shown {took:?} after the broker answered for the first time");
    ensure!(took < TAKE_OVER_MAX, "{took:?}");
    ensure!(ended(&bank, &requested).await?["status"] == "completed", "the transfer was left behind");
    town.audit().await
}
