//! The distributed bank: a broker, a way to it for each service that can be broken, and the services' processes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use local_services::{Kafka, KafkaOptions};
use system_tests::{PortBase, Process, Surfaces, binary};

use crate::proxy::Proxy;

/// How long a service may take to listen.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a service may take to stop when it is told to.
const STOP_MAX: Duration = Duration::from_secs(60);
/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(20);
/// Where the second `statements` listens, above the port base.
const REPLICA_PORT: u16 = 4;

/// A service of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The write side.
    Accounts,
    /// The process manager.
    Transfers,
    /// The read side.
    Statements,
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Accounts, Self::Transfers, Self::Statements];

    /// Its binary and its folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => accounts::NAME,
            Self::Transfers => transfers::NAME,
            Self::Statements => "statements",
        }
    }

    const fn port_above_base(self) -> u16 {
        match self {
            Self::Accounts => 1,
            Self::Transfers => 2,
            Self::Statements => 3,
        }
    }
}

/// All that runs.
pub struct Town {
    folder: PathBuf,
    ports: PortBase,
    /// The broker.
    pub kafka: Kafka,
    proxies: [Proxy; 3],
    running: [Option<Process>; 3],
    /// A second `statements`, while there is one.
    pub replica: Option<Process>,
    starts: u64,
}

impl Town {
    /// Starts a broker and the services, with all they write below `folder`.
    pub async fn found(folder: &Path) -> anyhow::Result<Self> {
        let options =
            KafkaOptions::new(folder.join("kafka")).listener("accounts").listener("transfers").listener("statements");
        let mut kafka = Kafka::prepare(options)?;
        let mut proxies = Vec::new();
        for who in Who::ALL {
            let proxy = Proxy::start(kafka.port_of(who.name())).await?;
            kafka.advertise(who.name(), proxy.port());
            proxies.push(proxy);
        }
        kafka.start()?;
        let Ok(proxies) = proxies.try_into() else { bail!("a proxy for each") };
        let ports = PortBase::take()?;
        fs::create_dir_all(folder.join("said"))?;
        let mut town = Self {
            folder: folder.to_owned(),
            ports,
            kafka,
            proxies,
            running: [None, None, None],
            replica: None,
            starts: 0,
        };
        for who in Who::ALL {
            town.start(who).await?;
        }
        Ok(town)
    }

    /// Where its surfaces are.
    pub fn surfaces(&self) -> Surfaces {
        Surfaces::above(self.ports.get())
    }

    /// For `--port-base`.
    pub fn port_base(&self) -> u16 {
        self.ports.get()
    }

    /// A service's way to the broker.
    pub fn way(&self, who: Who) -> &Proxy {
        &self.proxies[who as usize]
    }

    /// The folder of all data.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where a copy of the broker's log may lie.
    pub fn log_copy(&self) -> PathBuf {
        self.folder.join("log-copy")
    }

    fn command(&self, program: &str, who: Who, data: &Path, port: u16) -> anyhow::Result<Command> {
        let mut command = Command::new(binary(program)?);
        command.arg("--kafka").arg(format!("127.0.0.1:{}", self.way(who).port()));
        command.arg("--data").arg(data).arg("--port").arg(port.to_string());
        Ok(command)
    }

    fn run(&mut self, command: Command, name: &str) -> anyhow::Result<Process> {
        self.starts += 1;
        Process::start(command, &self.folder.join("said"), &format!("{:04}-{name}", self.starts))
    }

    fn port(&self, who: Who) -> u16 {
        self.ports.get() + who.port_above_base()
    }

    /// Starts a service, and waits until it listens.
    pub async fn start(&mut self, who: Who) -> anyhow::Result<()> {
        let command = self.command(who.name(), who, &self.data(), self.port(who))?;
        self.start_as(who, command).await
    }

    /// Starts accounts with relays beside its own.
    pub async fn start_with_twins(&mut self, seed: u64) -> anyhow::Result<()> {
        let who = Who::Accounts;
        let mut command = self.command("accounts-with-twins", who, &self.data(), self.port(who))?;
        command.arg("--seed").arg(seed.to_string());
        self.start_as(who, command).await
    }

    async fn start_as(&mut self, who: Who, command: Command) -> anyhow::Result<()> {
        let process = self.run(command, who.name())?;
        let process = self.running[who as usize].insert(process);
        listens(process, who.name()).await
    }

    /// Starts one more process of a service that waits for the other's end; it becomes the service then.
    pub fn stand_by(&mut self, who: Who) -> anyhow::Result<Process> {
        let mut command = self.command(who.name(), who, &self.data(), self.port(who))?;
        command.arg("--standby");
        self.run(command, &format!("{}-standby", who.name()))
    }

    /// The one who waited is the service now; waits until it listens.
    pub async fn take_over(&mut self, who: Who, standby: Process) -> anyhow::Result<()> {
        let process = self.running[who as usize].insert(standby);
        listens(process, who.name()).await
    }

    /// Starts a second `statements`, with what it had the last time.
    pub async fn start_replica(&mut self) -> anyhow::Result<()> {
        let (who, data) = (Who::Statements, self.folder.join("replica"));
        let command = self.command(who.name(), who, &data, self.ports.get() + REPLICA_PORT)?;
        let process = self.run(command, "replica")?;
        listens(self.replica.insert(process), "the second statements").await
    }

    /// Where the second `statements` answers as the three would, read side only.
    pub fn replica_surfaces(&self) -> Surfaces {
        Surfaces::above(self.ports.get() + REPLICA_PORT - Who::Statements.port_above_base())
    }

    /// The process of a service.
    pub fn process(&mut self, who: Who) -> anyhow::Result<&mut Process> {
        self.running[who as usize].as_mut().with_context(|| format!("{} does not run", who.name()))
    }

    /// Fails when a process has ended that nobody killed.
    pub fn check(&mut self) -> anyhow::Result<()> {
        for who in Who::ALL {
            if let Some(process) = &mut self.running[who as usize] {
                ensure!(!process.has_ended()?, "{} has ended by itself: {}", who.name(), last_lines(process));
            }
        }
        Ok(())
    }

    /// Stops every service as an operator does.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let all = self.running.iter_mut().map(Option::take).zip(Who::ALL.map(Who::name));
        let all: Vec<_> = all.chain([(self.replica.take(), "the second statements")]).collect();
        for (process, name) in all {
            let Some(mut process) = process else { continue };
            process.terminate()?;
            let ended = process.end_within(STOP_MAX).await?;
            ensure!(ended.status.success(), "{name} did not stop cleanly: {}: {}", ended.status, ended.stderr);
        }
        Ok(())
    }
}

/// Waits until a service says that it listens.
async fn listens(process: &mut Process, name: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !process.stdout().contains(" listens on ") {
        ensure!(!process.has_ended()?, "{name} has ended: {}", last_lines(process));
        ensure!(begun.elapsed() < START_MAX, "{name} does not listen within {START_MAX:?}: {}", last_lines(process));
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The end of what it said.
fn last_lines(process: &Process) -> String {
    let said = process.stderr();
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
