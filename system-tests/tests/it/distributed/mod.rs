//! The bank as processes that know only the bus, on a real Apache Kafka.

mod apart;
mod away;
mod foreign_reader;
mod forgot;
mod in_one;
mod journey;
mod killed;
mod restored;
mod services;
mod settings;
mod standby;

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::Value;
use system_tests::{Process, Side, Site, Surfaces, binary};

use crate::teller;

/// How long anything may take on a machine that does a lot besides.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(10);
/// How long work may stand still when a process or the broker dies and somebody else or itself comes back.
pub(crate) const TAKE_OVER_MAX: Duration = Duration::from_secs(10);

/// A service of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Accounts,
    Transfers,
    Statements,
    /// A second `statements`, with a read database of its own.
    Replica,
}

impl Service {
    pub(crate) const ALL: [Self; 4] = [Self::Accounts, Self::Transfers, Self::Statements, Self::Replica];

    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Transfers => "transfers",
            Self::Statements | Self::Replica => "statements",
        }
    }

    const fn port_above_base(self) -> u16 {
        match self {
            Self::Accounts => 1,
            Self::Transfers => 2,
            Self::Statements => 3,
            Self::Replica => 4,
        }
    }
}

/// A place for a distributed bank: folders, ports, and topics of its own on a broker.
pub(crate) struct Town {
    site: Site,
    broker: String,
    prefix: String,
}

impl Town {
    /// A place on a broker, without any process.
    pub(crate) fn on(broker: String) -> anyhow::Result<Self> {
        // A broker outlives the tests of many runs.
        let prefix = format!("it.{}.{:016x}.", std::process::id(), fastrand::u64(..));
        Ok(Self { site: Site::new()?, broker, prefix })
    }

    /// A place on the broker that tests share; none: the story was skipped.
    pub(crate) fn on_shared(story: &str) -> anyhow::Result<Option<Self>> {
        local_services::kafka_for_tests(story).map(Self::on).transpose()
    }

    pub(crate) fn broker(&self) -> &str {
        &self.broker
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) const fn site(&self) -> &Site {
        &self.site
    }

    pub(crate) fn port(&self, service: Service) -> u16 {
        self.site.port_base() + service.port_above_base()
    }

    /// The folder of all data of a service's process.
    pub(crate) fn data(&self, service: Service) -> PathBuf {
        self.site.folder().join(if service == Service::Replica { "replica" } else { "data" })
    }

    /// The three surfaces of the bank.
    pub(crate) fn surfaces(&self) -> Surfaces {
        Surfaces::above(self.site.port_base())
    }

    /// Surfaces of which the one that reads is the replica's.
    pub(crate) fn replica(&self) -> Surfaces {
        Surfaces::above(self.port(Service::Replica) - Service::Statements.port_above_base())
    }

    /// A service's program with what it needs to be of this bank, and `more`.
    pub(crate) fn command(&self, service: Service, port: u16, more: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary(service.program())?);
        command.current_dir(self.site.folder());
        command.args(["--kafka", &self.broker, "--kafka-topic-prefix", &self.prefix]);
        command.args(["--port", &port.to_string(), "--data"]).arg(self.data(service)).args(more);
        let set = std::env::vars_os().map(|(name, _)| name);
        let ours = ["ACCOUNTS_", "TRANSFERS_", "STATEMENTS_"];
        for name in set.filter(|name| ours.iter().any(|ours| name.to_string_lossy().starts_with(ours))) {
            command.env_remove(name);
        }
        Ok(command)
    }

    /// Starts a process of a service; it may wait for another's end.
    pub(crate) fn start_as(&self, service: Service, name: &str, more: &[&str]) -> anyhow::Result<Process> {
        Process::start(self.command(service, self.port(service), more)?, self.site.folder(), name)
    }

    /// Asks a running service by a command of its own program.
    pub(crate) fn ask(&self, service: Service, words: &[&str]) -> anyhow::Result<Process> {
        let mut command = Command::new(binary(service.program())?);
        command.args(words).args(["--port", &self.port(service).to_string()]);
        Process::start(command, self.site.folder(), "ask")
    }

    /// What is said of the read models of `statements`, or of its replica, beside a fresh fold of each: with checksums.
    pub(crate) async fn checksums(&self, service: Service) -> anyhow::Result<String> {
        let base = self.port(service) - Service::Statements.port_above_base();
        let mut command = Command::new(binary("bank")?);
        command.args(["verify", "statements", "--port-base", &base.to_string()]);
        let told = Process::start(command, self.site.folder(), "verify")?.end_within(PATIENCE).await?;
        ensure!(told.status.success(), "{told:?}");
        Ok(told.stdout)
    }

    /// Starts a service, and waits until it listens.
    pub(crate) async fn start(&self, service: Service) -> anyhow::Result<Process> {
        let mut process = self.start_as(service, &format!("{service:?}"), &[])?;
        says(&mut process, " listens on ").await?;
        Ok(process)
    }

    /// Starts several services, one after the other.
    pub(crate) async fn start_all<const N: usize>(&self, services: [Service; N]) -> anyhow::Result<[Process; N]> {
        let mut started = Vec::new();
        for service in services {
            started.push(self.start(service).await?);
        }
        started.try_into().map_err(|_| anyhow::anyhow!("one process for each"))
    }

    /// Waits until everything is published and dealt with, however much it is, as long as it becomes less.
    ///
    /// # Errors
    /// When it stands still.
    pub(crate) async fn settled(&self) -> anyhow::Result<()> {
        let (bank, mut least, mut since) = (self.surfaces(), u64::MAX, Instant::now());
        // What is dealt with may lead to more that is to be published.
        let mut quiet = 0;
        while quiet < 2 {
            tokio::time::sleep(POLL).await;
            let Some(behind) = behind(&bank).await else {
                quiet = 0;
                continue;
            };
            quiet = if behind == 0 { quiet + 1 } else { 0 };
            if behind < least {
                (least, since) = (behind, Instant::now());
            }
            ensure!(quiet > 0 || since.elapsed() < PATIENCE, "{behind} messages and events stand still");
        }
        Ok(())
    }

    /// Audits the whole bank once everything was published and dealt with; fails with what is found.
    pub(crate) async fn audit(&self) -> anyhow::Result<()> {
        self.settled().await?;
        teller::audit_is_clean(&self.site).await
    }
}

/// How much is to be published, or dealt with; none: somebody does not tell.
async fn behind(bank: &Surfaces) -> Option<u64> {
    let mut behind = 0;
    for side in Side::ALL {
        for (path, list) in [("/admin/relays", "relays"), ("/admin/consumers", "consumers")] {
            let told = bank.send(side, "GET", path, Vec::new(), &[]).await.ok()?;
            for one in told.json[list].as_array()? {
                behind += one["lag"].as_u64()?;
            }
        }
    }
    Some(behind)
}

/// Waits until a process has said something on its standard output.
pub(crate) async fn says(process: &mut Process, words: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !process.stdout().contains(words) {
        ensure!(!process.has_ended()?, "ended instead of saying {words:?}: {}", process.stderr());
        ensure!(begun.elapsed() < PATIENCE, "does not say {words:?} within {PATIENCE:?}: {}", process.stderr());
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Waits until what a surface answers to a GET meets a condition; how long that took.
pub(crate) async fn until(
    bank: &Surfaces,
    (side, path): (Side, &str),
    meets: impl Fn(u16, &Value) -> bool,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut last = String::new();
    loop {
        if let Ok(answer) = bank.send(side, "GET", path, Vec::new(), &[]).await {
            if meets(answer.status, &answer.json) {
                return Ok(begun.elapsed());
            }
            last = answer.text;
        }
        ensure!(begun.elapsed() < PATIENCE, "{path} of {side:?} never comes so far: {last}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until what is told of the relay of accounts' events meets a condition; how long that took.
pub(crate) async fn relay_of_accounts(bank: &Surfaces, meets: impl Fn(&Value) -> bool) -> anyhow::Result<Duration> {
    until(bank, (Side::Write, "/admin/relays"), |_, told| {
        let relays = told["relays"].as_array().map_or(&[][..], Vec::as_slice);
        relays.iter().any(|relay| relay["topic"] == "bank.accounts.account.events" && meets(relay))
    })
    .await
}
