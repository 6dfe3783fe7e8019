//! The processes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use local_services::{Kafka, KafkaOptions};
use serde_json::{Value, json};
use system_tests::{Answer, PortBase, Process, Side, Surfaces, binary};
use uuid::Uuid;

use crate::bank::account_ids;

/// How long anything may take that is a result.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often a condition is looked at again.
pub const POLL: Duration = Duration::from_millis(2);

/// A service of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The write side.
    Accounts,
    /// The process manager.
    Transfers,
    /// The read side.
    Statements,
}

impl Who {
    const ALL: [Self; 3] = [Self::Accounts, Self::Transfers, Self::Statements];

    const fn name(self) -> &'static str {
        match self {
            Self::Accounts => accounts::NAME,
            Self::Transfers => transfers::NAME,
            Self::Statements => statements::NAME,
        }
    }
}

/// A broker and the three processes.
pub struct Town {
    folder: PathBuf,
    ports: PortBase,
    /// The broker.
    pub kafka: Kafka,
    running: Vec<Process>,
}

impl Town {
    /// Starts them, with all they write below `folder`.
    ///
    /// # Errors
    /// Programs that are not built, no Java or Maven.
    pub async fn found(folder: &Path) -> Result<Self> {
        let mut kafka = Kafka::prepare(KafkaOptions::new(folder.join("kafka")))?;
        kafka.start()?;
        let mut town = Self { folder: folder.to_owned(), ports: PortBase::take()?, kafka, running: Vec::new() };
        for who in Who::ALL {
            let mut process = town.spawn(who, &[])?;
            listens(&mut process).await?;
            town.running.push(process);
        }
        Ok(town)
    }

    /// Starts one more process of a service.
    ///
    /// # Errors
    /// When its program is not built.
    pub fn spawn(&self, who: Who, more: &[&str]) -> Result<Process> {
        let mut command = Command::new(binary(who.name()).context("cargo build --release --workspace")?);
        let port = self.ports.get() + 1 + who as u16;
        command.args(["--kafka", &self.kafka.bootstrap(), "--port", &port.to_string(), "--log-level", "error"]);
        command.arg("--data").arg(self.folder.join("data")).args(more);
        Process::start(command, &self.folder, who.name())
    }

    /// The process of a service.
    pub fn process(&mut self, who: Who) -> &mut Process {
        &mut self.running[who as usize]
    }

    /// Where they answer; with connections of its own.
    pub fn surfaces(&self) -> Surfaces {
        Surfaces::above(self.ports.get())
    }

    /// Opens accounts, and waits until statements show them.
    ///
    /// # Errors
    /// Those of the services.
    pub async fn open(&self, count: usize) -> Result<Vec<Uuid>> {
        let (bank, accounts) = (self.surfaces(), account_ids(count));
        for account in &accounts {
            let body = json!({ "account_id": account, "holder": "Ada Lovelace", "currency": "EUR" });
            bank.command("open-account", &body, &[]).await?.accepted()?;
        }
        self.settled().await?;
        Ok(accounts)
    }

    /// Waits until everything is published, and dealt with by statements.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn settled(&self) -> Result<()> {
        let bank = self.surfaces();
        let begun = Instant::now();
        for (side, path, list) in
            [(Side::Write, "/admin/relays", "relays"), (Side::Read, "/admin/consumers", "consumers")]
        {
            while !all_at_the_end(&bank.send(side, "GET", path, Vec::new(), &[]).await?, list) {
                ensure!(begun.elapsed() < PATIENCE, "the read side does not catch up");
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Stops them as an operator does.
    ///
    /// # Errors
    /// What did not stop cleanly.
    pub async fn stop(self) -> Result<()> {
        for mut process in self.running {
            process.terminate()?;
            let ended = process.end_within(PATIENCE).await?;
            ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
        }
        Ok(())
    }
}

/// Whether everything listed is at its end.
pub fn all_at_the_end(answer: &Answer, list: &str) -> bool {
    let listed = answer.json[list].as_array().filter(|listed| !listed.is_empty());
    listed.is_some_and(|listed| listed.iter().all(|one| one["lag"] == 0))
}

/// Waits until a process says that it listens.
///
/// # Errors
/// It ends instead, or takes too long.
pub async fn listens(process: &mut Process) -> Result<()> {
    says(process, " listens on ").await
}

/// Waits until a process says something.
///
/// # Errors
/// It ends instead, or takes too long.
pub async fn says(process: &mut Process, words: &str) -> Result<()> {
    let begun = Instant::now();
    while !process.stdout().contains(words) {
        ensure!(!process.has_ended()?, "ended: {}", process.stderr());
        ensure!(begun.elapsed() < PATIENCE, "does not say {words:?}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The body of a deposit.
pub fn deposit(account: &Uuid) -> Value {
    json!({ "account_id": account, "amount": "1.25", "currency": "EUR" })
}

/// Waits until statements show what a token stands for.
///
/// # Errors
/// It takes too long.
pub async fn shown(bank: &Surfaces, account: &Uuid, token: &str) -> Result<()> {
    let (begun, path) = (Instant::now(), format!("/queries/account-summary?account_id={account}"));
    loop {
        // Nobody may answer for a while.
        if let Ok(answer) = bank.query(&path, &[("factum-at-least", token)]).await
            && answer.status == 200
        {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "statements do not show it");
        tokio::time::sleep(POLL).await;
    }
}
