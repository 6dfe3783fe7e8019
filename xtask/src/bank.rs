//! `cargo xtask bank`: Kafka and the three services of the reference system as processes on this machine.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io,
    net::{Ipv4Addr, TcpStream},
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
    /// Builds nothing: the programs beside this one are started as they are.
    #[arg(long, conflicts_with = "release")]
    no_build: bool,
}

/// Runs the bank until Ctrl-C or SIGTERM, or until a process ends by itself.
///
/// # Errors
/// Without Java or Maven; when something does not start, ends by itself, or does not stop.
pub fn bank(root: &Path, options: &Options) -> anyhow::Result<()> {
    let programs = if options.no_build { beside_this()? } else { built(root, options.release)? };
    let folder = match &options.folder {
        Some(folder) => folder.clone(),
        None => target_folder(root)?.join("xtask-bank"),
    };
    let (told, stop) = channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more: it is stopping already.
        let _ = told.send(());
    })?;
    let mut bank = Bank::new(options.port_base, folder, options.fresh)?;
    let outcome = bank.run(&programs, &stop);
    let stopped = bank.stop();
    outcome.and(stopped)
}

fn beside_this() -> anyhow::Result<PathBuf> {
    let this = env::current_exe().context("the path of this program")?;
    Ok(this.parent().context("the folder of this program")?.to_owned())
}

fn built(root: &Path, release: bool) -> anyhow::Result<PathBuf> {
    let mut build = vec!["build"];
    build.extend(SERVICES.iter().flat_map(|(name, _)| ["--package", name]));
    build.extend(release.then_some("--release"));
    cargo(root, &build)?;
    Ok(target_folder(root)?.join(if release { "release" } else { "debug" }))
}

/// Below the bank's folder: what Kafka keeps, and what the services keep.
const KAFKA: &str = "kafka";
const DATA: &str = "data";

fn log(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.log"))
}

/// Makes the folder; nobody else runs a bank in it as long as the file is open.
fn locked(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("lock");
    let open = || {
        fs::create_dir_all(folder)?;
        OpenOptions::new().create(true).append(true).open(&path)
    };
    let lock = open().with_context(|| path.display().to_string())?;
    let taken = lock.try_lock();
    ensure!(taken.is_ok(), "another bank runs in {}: end it, or name another --folder", folder.display());
    Ok(lock)
}

/// Removes what a bank has written, and nothing else that the folder may hold.
fn forget(folder: &Path) -> anyhow::Result<()> {
    let folders = [KAFKA, DATA].map(|name| folder.join(name)).map(|path| (fs::remove_dir_all(&path), path));
    let logs = SERVICES.map(|(name, _)| log(folder, name)).map(|path| (fs::remove_file(&path), path));
    for (removed, path) in folders.into_iter().chain(logs) {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| path.display().to_string());
            }
            _ => {}
        }
    }
    Ok(())
}

struct Bank {
    port_base: u16,
    folder: PathBuf,
    services: Vec<(&'static str, Owned)>,
    // Dropped after the services.
    kafka: Kafka,
    // And after everything that writes to the folder, of which this is the lock.
    _lock: File,
}

impl Bank {
    fn new(port_base: u16, folder: PathBuf, fresh: bool) -> anyhow::Result<Self> {
        let last = SERVICES.iter().map(|(_, port)| port).max().copied().unwrap_or_default();
        ensure!(port_base.checked_add(last).is_some(), "there are no ports above {port_base}: choose a lower base");
        let lock = locked(&folder)?;
        for port in SERVICES.map(|(_, above)| port_base + above) {
            let taken = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            ensure!(!taken, "something else listens on port {port}: end it, or choose another --port-base");
        }
        if fresh {
            forget(&folder)?;
        }
        let kafka = Kafka::prepare(KafkaOptions::new(folder.join(KAFKA)))?;
        Ok(Self { port_base, folder, services: Vec::new(), kafka, _lock: lock })
    }

    fn log(&self, service: &str) -> PathBuf {
        log(&self.folder, service)
    }

    fn run(&mut self, programs: &Path, stop: &Receiver<()>) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.kafka.start()?;
        println!("kafka       {:<32} {}", self.kafka.bootstrap(), self.kafka.said().display());
        for (name, port) in SERVICES {
            let port = self.port_base + port;
            let mut command = Command::new(programs.join(name));
            command.args(["--kafka", &self.kafka.bootstrap(), "--port", &port.to_string()]);
            command.arg("--data").arg(self.folder.join(DATA));
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
