//! The broker forgot: what it acknowledged is lost, a topic is deleted under the bank, or retention cut a topic's beginning.
//! Nothing new happens meanwhile that would give it away.

use std::fs;

use anyhow::{Context as _, ensure};
use local_services::Kafka;
use serde_json::Value;
use system_tests::{Process, Side, Surfaces};
use tokio::task::block_in_place;

use super::{PATIENCE, Service, Town, away::own, relay_of_accounts, until};
use crate::teller::{euros, open, summary, token};

const TOPIC: &str = "bank.accounts.account.events";
/// How many partitions it has.
const PARTITIONS: i32 = 12;
/// How many deposits each account has at first.
const DEPOSITS: usize = 5;

/// A bank on a broker of its own, with two accounts that have been deposited to.
struct Forgetful {
    kafka: Kafka,
    town: Town,
    bank: Surfaces,
    accounts: [String; 2],
    _folder: tempfile::TempDir,
    _running: [Process; 2],
}

impl Forgetful {
    async fn begin(story: &str) -> anyhow::Result<Option<(Self, Process)>> {
        let Some((folder, mut kafka, town)) = own(story)? else { return Ok(None) };
        block_in_place(|| kafka.start())?;
        let running = town.start_all([Service::Accounts, Service::Transfers]).await?;
        let statements = town.start(Service::Statements).await?;
        let bank = town.surfaces();
        let accounts = [open(&bank, "Ada", "EUR").await?, open(&bank, "Bob", "EUR").await?];
        let forgetful = Self { kafka, town, bank, accounts, _folder: folder, _running: running };
        forgetful.deposit().await?;
        Ok(Some((forgetful, statements)))
    }

    /// Deposits to every account, and sees it in statements.
    async fn deposit(&self) -> anyhow::Result<()> {
        for account in &self.accounts {
            let mut last = String::new();
            for _ in 0..DEPOSITS {
                let deposit = euros(account, "1.00");
                last = token(&self.bank.command("deposit-funds", &deposit, &[]).await?.accepted()?)?;
            }
            summary(&self.bank, account, &last).await?;
        }
        Ok(())
    }

    async fn resent(&self) -> anyhow::Result<u64> {
        let told = self.bank.send(Side::Write, "GET", "/admin/relays", Vec::new(), &[]).await?.accepted()?.json;
        let relays = told["relays"].as_array().context("relays")?;
        relays
            .iter()
            .filter(|relay| relay["topic"] == TOPIC)
            .find_map(|relay| relay["resent"].as_u64())
            .context("a count")
    }

    /// Waits until accounts' relay has published something again, and has nothing left to do.
    async fn publishes_again(&self, resent: u64) -> anyhow::Result<()> {
        let took = relay_of_accounts(&self.bank, |relay| {
            relay["resent"].as_u64() > Some(resent) && relay["lag"] == 0 && relay["last_error"].is_null()
        });
        println!("published again after {:?}", took.await?);
        Ok(())
    }

    /// Whether statements shows what accounts decided, also where it is read for the first time.
    async fn everybody_has_everything(&self) -> anyhow::Result<()> {
        let _replica = self.town.start(Service::Replica).await?;
        self.town.audit().await?;
        has_no_gap(&self.town.replica()).await?;
        let ours = self.town.checksums(Service::Statements).await?;
        ensure!(ours.lines().count() >= 3 && ours.contains("equal to a fresh fold"), "{ours}");
        let theirs = self.town.checksums(Service::Replica).await?;
        ensure!(ours == theirs, "statements:\n{ours}\nits replica:\n{theirs}");
        Ok(())
    }
}

/// The alarms of all consumers.
fn alarms(told: &Value) -> String {
    let consumers = told["consumers"].as_array().map_or(&[][..], Vec::as_slice);
    consumers
        .iter()
        .flat_map(|one| one["alarms"].as_array().map_or(&[][..], Vec::as_slice))
        .map(Value::to_string)
        .collect()
}

async fn has_no_gap(bank: &Surfaces) -> anyhow::Result<()> {
    let is_level = |told: &Value| {
        let consumers = told["consumers"].as_array();
        consumers.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["lag"] == 0))
    };
    until(bank, (Side::Read, "/admin/consumers"), |_, told| is_level(told) && alarms(told).is_empty()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_broker_loses_acknowledged_records() -> anyhow::Result<()> {
    let Some((mut bank, _statements)) = Forgetful::begin("an older copy of the broker's log is put back").await? else {
        return Ok(());
    };
    let copy = bank.town.site().folder().join("copy-of-the-log");
    block_in_place(|| {
        bank.kafka.pause()?;
        bank.kafka.copy_log(&copy)?;
        bank.kafka.resume()
    })?;
    bank.deposit().await?;
    let resent = bank.resent().await?;
    block_in_place(|| {
        bank.kafka.kill()?;
        bank.kafka.put_back(&copy)?;
        bank.kafka.start()
    })?;
    bank.publishes_again(resent).await?;
    bank.everybody_has_everything().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_topic_deleted_under_the_bank() -> anyhow::Result<()> {
    let Some((bank, _statements)) = Forgetful::begin("a topic is deleted under the bank").await? else {
        return Ok(());
    };
    let resent = bank.resent().await?;
    block_in_place(|| bank.kafka.delete_topic(&format!("{}{TOPIC}", bank.town.prefix())))?;
    bank.publishes_again(resent).await?;
    bank.everybody_has_everything().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_history_cut_by_retention_together_with_a_lost_read_database() -> anyhow::Result<()> {
    let story = "the beginning of a topic is cut, and a read database lost";
    let Some((bank, mut statements)) = Forgetful::begin(story).await? else { return Ok(()) };
    let cut = |partition| bank.kafka.delete_records(&format!("{}{TOPIC}", bank.town.prefix()), partition, 3).is_ok();
    let cuts = block_in_place(|| (0..PARTITIONS).filter(|partition| cut(*partition)).count());
    ensure!(cuts >= 1, "no partition has had so many records");
    statements.kill()?;
    fs::remove_dir_all(bank.town.data(Service::Statements).join("statements"))?;

    let _statements = bank.town.start(Service::Statements).await?;
    let asked = (Side::Read, "/admin/consumers");
    until(&bank.bank, asked, |_, told| alarms(told).contains("from position 0 on")).await?;
    let shown = bank.bank.query(&format!("/queries/account-summary?account_id={}", bank.accounts[0]), &[]).await?;
    ensure!(shown.status != 200 || shown.json["balance"] != "5.00", "nothing behind the gap counts: {}", shown.text);
    let resent = bank.resent().await?;
    let rewind = ["relay", "rewind", TOPIC, "--to", "0"];
    let rewound = bank.town.ask(Service::Accounts, &rewind)?.end_within(PATIENCE).await?;
    ensure!(rewound.status.success() && rewound.stdout.contains("events after 0 is published again"), "{rewound:?}");
    bank.publishes_again(resent).await?;
    has_no_gap(&bank.bank).await?;
    bank.everybody_has_everything().await
}
