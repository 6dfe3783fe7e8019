//! A standby takes over the data folder of a service that dies.

use std::time::Instant;

use anyhow::ensure;
use system_tests::{Process, Side};

use super::{PATIENCE, POLL, Service, TAKE_OVER_MAX, Town, relay_of_accounts, says, until};
use crate::{teller::euros, under_load::UnderLoad};

const SENDERS: usize = 8;
const ACCOUNTS: usize = 6;
/// How often accounts are killed, each time while somebody stands by.
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_a_standby_of_accounts_takes_over_under_load_and_nothing_is_lost_or_doubled() -> anyhow::Result<()> {
    let Some(town) = Town::on_shared("a standby of accounts on Kafka")? else { return Ok(()) };
    let [mut accounts, _transfers, _statements] =
        town.start_all([Service::Accounts, Service::Transfers, Service::Statements]).await?;
    let bank = town.surfaces();
    let mut load = UnderLoad::begin(&bank, ACCOUNTS, SENDERS, 1).await?;
    for kill in 1..=KILLS {
        let mut standby = town.start_as(Service::Accounts, &format!("standby-{kill}"), &["--standby"])?;
        says(&mut standby, "accounts stands by for ").await?;
        load.works().await?;
        ensure!(!standby.stdout().contains("listens on"), "two of them work");
        let begun = Instant::now();
        accounts.kill()?;
        says(&mut standby, "accounts listens on ").await?;
        let listens = begun.elapsed();
        // Not only that it listens: that work goes on, up to the read side.
        load.works().await?;
        let commands = begun.elapsed();
        relay_of_accounts(&bank, |relay| relay["sent"].as_u64() > Some(0)).await?;
        let publishes = begun.elapsed();
        println!("kill {kill}: listens after {listens:?}, decides after {commands:?}, publishes after {publishes:?}");
        ensure!(publishes < TAKE_OVER_MAX, "taken over after {publishes:?}");
        accounts = standby;
    }
    load.ends(&bank).await?;
    town.audit().await?;
    load.is_complete(&bank).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_every_service_has_its_standby_which_ends_when_asked() -> anyhow::Result<()> {
    let Some(town) = Town::on_shared("standbys on Kafka")? else { return Ok(()) };
    let (bank, services) = (town.surfaces(), [Service::Accounts, Service::Transfers, Service::Statements]);
    for (service, side) in services.into_iter().zip(Side::ALL) {
        let mut first = town.start(service).await?;
        for ends in [Process::terminate, Process::interrupt] {
            let mut standby = town.start_as(service, "standby", &["--standby"])?;
            says(&mut standby, "stands by for ").await?;
            ends(&mut standby)?;
            let ended = standby.end_within(PATIENCE).await?;
            ensure!(ended.status.success() && ended.stderr.is_empty(), "{service:?}: {}", ended.stderr);
        }
        let third = Process::start(town.command(service, 0, &[])?, town.site().folder(), "third")?;
        let third = third.end_within(PATIENCE).await?;
        ensure!(third.status.code() == Some(1), "without --standby {service:?} does not wait");
        ensure!(third.stderr.contains("event store"), "{}", third.stderr);

        let mut standby = town.start_as(service, "standby", &["--standby"])?;
        says(&mut standby, "stands by for ").await?;
        // Stopped it keeps its place: nobody knows whether it goes on.
        first.pause()?;
        tokio::time::sleep(POLL * 50).await;
        ensure!(!standby.stdout().contains("listens"), "two of {service:?} work");
        first.resume()?;
        let begun = Instant::now();
        first.kill()?;
        until(&bank, (side, "/readyz"), |status, _| status == 200).await?;
        let took = begun.elapsed();
        println!("{service:?}: ready again after {took:?}");
        ensure!(took < TAKE_OVER_MAX, "{service:?} is ready again after {took:?}");
        if service == Service::Accounts {
            let account = crate::teller::open(&bank, "Ada", "EUR").await?;
            bank.command("deposit-funds", &euros(&account, "1.00"), &[]).await?.accepted()?;
        }
    }
    Ok(())
}
