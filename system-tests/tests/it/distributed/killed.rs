//! SIGKILL of each service under load, on a real Kafka.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use system_tests::Process;

use super::{Service, TAKE_OVER_MAX, Town};
use crate::{
    teller::{euros, open, summary, token},
    under_load::UnderLoad,
};

const SENDERS: usize = 8;
const ACCOUNTS: usize = 6;
/// How often a service is killed under load.
const KILLS: usize = 5;
/// How much later than enough commands were acknowledged a death comes, at most, while more are under way.
const DEATH_AFTER_MAX: Duration = Duration::from_millis(120);

/// Kills one service again and again while commands are sent; every message is dealt with once after all.
async fn killed_under_load(story: &str, killed: Service) -> anyhow::Result<()> {
    let seed = std::env::var("FACTUM_TEST_SEED").ok().map_or(Ok(1), |seed| seed.parse())?;
    println!("FACTUM_TEST_SEED={seed}");
    let Some(town) = Town::on_shared(story)? else { return Ok(()) };
    let mut random = fastrand::Rng::with_seed(seed);
    let services = [Service::Accounts, Service::Transfers, Service::Statements];
    let mut running: [Process; 3] = town.start_all(services).await?;
    let at = services.iter().position(|service| *service == killed).context("one of the three")?;
    let bank = town.surfaces();
    let mut load = UnderLoad::begin(&bank, ACCOUNTS, SENDERS, seed).await?;
    for _ in 0..KILLS {
        load.works().await?;
        tokio::time::sleep(DEATH_AFTER_MAX.mul_f64(random.f64())).await;
        running[at].kill()?;
        running[at] = town.start(killed).await?;
    }
    load.ends(&bank).await?;
    town.audit().await.with_context(|| format!("seed {seed}"))?;
    let (requested, completed) = load.is_complete(&bank).await?;
    println!("{} commands, {requested} transfers, {completed} of them completed", load.answered().await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_accounts_killed_under_load_publish_everything_once() -> anyhow::Result<()> {
    killed_under_load("accounts killed on Kafka", Service::Accounts).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_transfers_killed_under_load_see_every_transfer_to_its_end() -> anyhow::Result<()> {
    killed_under_load("transfers killed on Kafka", Service::Transfers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_statements_killed_under_load_show_everything_once() -> anyhow::Result<()> {
    killed_under_load("statements killed on Kafka", Service::Statements).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_killed_statements_come_back_while_a_replica_answers() -> anyhow::Result<()> {
    let Some(town) = Town::on_shared("statements killed beside a replica on Kafka")? else { return Ok(()) };
    let [_accounts, mut statements, _replica] =
        town.start_all([Service::Accounts, Service::Statements, Service::Replica]).await?;
    let (bank, replica) = (town.surfaces(), town.replica());
    let account = open(&bank, "Ada", "EUR").await?;
    let deposit = euros(&account, "1.00");
    let mut balance = 0;
    for _ in 0..3 {
        statements.kill()?;
        let last = token(&bank.command("deposit-funds", &deposit, &[]).await?.accepted()?)?;
        balance += 1;
        let expected = format!("{balance}.00");
        ensure!(summary(&replica, &account, &last).await?["balance"] == expected.as_str(), "the replica is behind");
        let begun = Instant::now();
        statements = town.start(Service::Statements).await?;
        ensure!(summary(&bank, &account, &last).await?["balance"] == expected.as_str(), "it is behind");
        let took = begun.elapsed();
        println!("shows what happened meanwhile {took:?} after it was started again");
        ensure!(took < TAKE_OVER_MAX, "{took:?}");
    }
    Ok(())
}
