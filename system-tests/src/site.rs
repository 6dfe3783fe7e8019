//! A place where a bank runs, is killed, and runs again on what it left.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::process::{Ended, POLL, Process, binary};
use crate::surfaces::Surfaces;
use local_services::PortBase;

/// How long a bank may take until every surface is ready: far more than it needs, on a busy machine.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a clean stop may take.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A data folder and ports; both are given back when dropped.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    ports: PortBase,
}

/// A running bank; killed when dropped.
#[derive(Debug)]
pub struct Bank {
    process: Process,
    surfaces: Surfaces,
}

impl Site {
    /// A new place without data.
    ///
    /// # Errors
    /// When there is no free port or no temporary folder.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { folder: tempfile::tempdir()?, ports: PortBase::take()? })
    }

    /// The number for `--port-base`.
    pub fn port_base(&self) -> u16 {
        self.ports.get()
    }

    /// The folder for `--data`.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for whatever else a test writes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The bank's binary with `arguments`, in this site's folder, without what the environment may say.
    ///
    /// # Errors
    /// When it is not built.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary("bank")?);
        command.current_dir(self.folder.path()).args(arguments);
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("BANK_")) {
            command.env_remove(name);
        }
        Ok(command)
    }

    /// Starts the bank on this site's ports and data, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, or is not ready in time; with what it said.
    pub async fn start(&self) -> anyhow::Result<Bank> {
        self.start_with(&[]).await
    }

    /// As [`Site::start`], with more arguments.
    ///
    /// # Errors
    /// As [`Site::start`].
    pub async fn start_with(&self, more: &[&str]) -> anyhow::Result<Bank> {
        let (port_base, data) = (self.port_base().to_string(), self.data());
        let data = data.to_str().context("a path that is no text")?;
        let mut arguments = vec!["--port-base", &port_base, "--data", data];
        arguments.extend(more);
        self.start_command(self.command(&arguments)?, self.port_base()).await
    }

    /// Starts a bank by any command, and waits until the surfaces above `port_base` are ready.
    ///
    /// # Errors
    /// As [`Site::start`].
    pub async fn start_command(&self, command: Command, port_base: u16) -> anyhow::Result<Bank> {
        let mut process = Process::start(command, self.folder.path(), "bank")?;
        let surfaces = Surfaces::above(port_base);
        let begun = Instant::now();
        while !surfaces.are_ready().await {
            if process.has_ended()? {
                bail!("the bank ended instead of getting ready: {}", process.stderr());
            }
            if begun.elapsed() > READY_MAX {
                bail!("the bank is not ready after {READY_MAX:?}: {}", process.stderr());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Bank { process, surfaces })
    }

    /// Starts one of the bank's tools (`load`, `audit`, `events`) against this site.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_tool(&self, tool: &str, arguments: &[&str]) -> anyhow::Result<Process> {
        let mut all = vec![tool];
        all.extend(arguments);
        let mut command = self.command(&all)?;
        // Tools with tools of their own take it as an option of those.
        command.env("BANK_PORT_BASE", self.port_base().to_string());
        Process::start(command, self.folder.path(), tool)
    }

    /// Runs one of the bank's tools to its end.
    ///
    /// # Errors
    /// When it cannot be started, or does not end within `limit`.
    pub async fn run_tool(&self, tool: &str, arguments: &[&str], limit: Duration) -> anyhow::Result<Ended> {
        self.start_tool(tool, arguments)?.end_within(limit).await
    }
}

impl Bank {
    /// Its surfaces.
    pub fn surfaces(&self) -> &Surfaces {
        &self.surfaces
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        self.process.has_ended()
    }

    /// SIGKILL: no code of the bank runs any more when this returns.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// SIGTERM, and the end that follows.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(mut self) -> anyhow::Result<Ended> {
        self.process.terminate()?;
        self.process.end_within(STOP_MAX).await
    }

    /// SIGINT, as Ctrl-C sends it, and the end that follows.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn interrupt(mut self) -> anyhow::Result<Ended> {
        self.process.interrupt()?;
        self.process.end_within(STOP_MAX).await
    }
}
