//! `cargo xtask bank`: Kafka and the three services of the reference system as processes on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use local_services::{Kafka, KafkaOptions, Owned, Signal};

use crate::{
    ci::{cargo, target_folder},
    surface::is_ready,
};

/// The services in the order in which they are started, and their ports above the base.
const SERVICES: [(&str, u16); 3] = [("accounts", 1), ("transfers", 2), ("statements", 3)];
/// How long they may take until all are ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long one may take to stop when it is told to.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether they are ready.
const READY_POLL: Duration = Duration::from_millis(10);
/// How often it is looked whether one has ended by itself.
const ENDED_POLL: Duration = Duration::from_millis(200);
/// How much of what a service said is repeated when it has ended by itself.
const LINES_SAID_MAX: usize = 20;

/// How the bank is run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The services listen on the ports above this one: accounts, transfers, statements.
    #[arg(long, default_value_t = 7000)]
    port_base: u16,
    /// Where everything is written [default: `xtask-bank` in the folder that cargo builds into]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Begins with nothing, whatever the folder holds.
    #[arg(long)]
    fresh: bool,
    /// Optimised.
    #[arg(long)]
    release: bool,
}

/// Runs the bank until Ctrl-C or SIGTERM, or until a process ends by itself.
///
/// # Errors
/// Without Java or Maven; when something does not start, ends by itself, or does not stop.
pub fn bank(root: &Path, options: &Options) -> anyhow::Result<()> {
    let profile = if options.release { "release" } else { "debug" };
    let mut build = vec!["build"];
    build.extend(SERVICES.iter().flat_map(|(name, _)| ["--package", name]));
    build.extend(options.release.then_some("--release"));
    cargo(root, &build)?;
    let target = target_folder(root)?;
    let folder = options.folder.clone().unwrap_or_else(|| target.join("xtask-bank"));
    if options.fresh && folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let (told, stop) = channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more: it is stopping already.
        let _ = told.send(());
    })?;
    let mut bank = Bank::new(options.port_base, folder)?;
    let outcome = bank.run(&target.join(profile), &stop);
    let stopped = bank.stop();
    outcome.and(stopped)
}

struct Bank {
    port_base: u16,
    folder: PathBuf,
    services: Vec<(&'static str, Owned)>,
    // Dropped last.
    kafka: Kafka,
}

impl Bank {
    fn new(port_base: u16, folder: PathBuf) -> anyhow::Result<Self> {
        let last = SERVICES.iter().map(|(_, port)| port).max().copied().unwrap_or_default();
        ensure!(port_base.checked_add(last).is_some(), "there are no ports above {port_base}: choose a lower base");
        let kafka = Kafka::prepare(KafkaOptions::new(folder.join("kafka")))?;
        Ok(Self { port_base, folder, services: Vec::new(), kafka })
    }

    fn log(&self, service: &str) -> PathBuf {
        self.folder.join(format!("{service}.log"))
    }

    fn run(&mut self, programs: &Path, stop: &Receiver<()>) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.kafka.start()?;
        println!("kafka       {:<32} {}", self.kafka.bootstrap(), self.kafka.said().display());
        for (name, port) in SERVICES {
            let port = self.port_base + port;
            ensure!(!is_ready(port), "something else answers on port {port}: choose another --port-base");
            let mut command = Command::new(programs.join(name));
            command.args(["--kafka", &self.kafka.bootstrap(), "--port", &port.to_string()]);
            command.arg("--data").arg(self.folder.join("data"));
            let log = self.log(name);
            let process = Owned::start(&command, &log).with_context(|| format!("starting {name}"))?;
            self.services.push((name, process));
            println!("{name:<11} {:<32} {}", format!("http://127.0.0.1:{port}"), log.display());
        }
        while !SERVICES.iter().all(|(_, port)| is_ready(self.port_base + port)) {
            self.nobody_has_ended()?;
            ensure!(begun.elapsed() < READY_MAX, "not ready within {READY_MAX:?}: see the logs named above");
            if stop.recv_timeout(READY_POLL) != Err(RecvTimeoutError::Timeout) {
                return Ok(());
            }
        }
        println!("ready after {:.1} s; Ctrl-C stops everything", begun.elapsed().as_secs_f64());
        while stop.recv_timeout(ENDED_POLL) == Err(RecvTimeoutError::Timeout) {
            self.nobody_has_ended()?;
        }
        Ok(())
    }

    fn nobody_has_ended(&mut self) -> anyhow::Result<()> {
        let ended = self.services.iter_mut().find_map(|(name, process)| (!process.is_running()).then_some(*name));
        if let Some(name) = ended {
            let said = fs::read_to_string(self.log(name)).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            bail!("{name} has ended by itself: {}", lines[lines.len().saturating_sub(LINES_SAID_MAX)..].join("\n"));
        }
        ensure!(self.kafka.is_running(), "Kafka has ended by itself: see {}", self.kafka.said().display());
        Ok(())
    }

    /// Readers first, so that nobody waits for one that is gone; everyone is told, also after one that does not stop.
    fn stop(mut self) -> anyhow::Result<()> {
        let mut unclean = Vec::new();
        while let Some((name, mut process)) = self.services.pop() {
            process.signal(Signal::TERM)?;
            if process.ends_within(STOP_MAX) {
                println!("{name} has stopped");
            } else {
                unclean.push(format!("{name} has not stopped within {STOP_MAX:?}, and is killed"));
            }
        }
        self.kafka.stop()?;
        println!("kafka has stopped; everything is in {}", self.folder.display());
        ensure!(unclean.is_empty(), "{}", unclean.join("; "));
        Ok(())
    }
}
