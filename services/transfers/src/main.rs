//! The transfers service on its own: `transfers --help`.

mod bus;
mod operate;
mod options;

use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser as _;
use factum::{
    bus::{LocalBus, LocalBusOptions},
    service::STOP_LIMIT_DEFAULT,
    store::{EngineStore, Restored},
};
use factum_http::{Bound, Server, raise_open_files};
use tokio::signal::unix::{SignalKind, signal};

use options::{CommandLine, RestoreArgs, Settings, Tool};

fn main() -> ExitCode {
    let CommandLine { options, tool } = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return told(&error),
    };
    match tool {
        Some(Tool::Restore(RestoreArgs { from, data })) => {
            return match transfers::restore(&from.join(transfers::NAME), &data.join(transfers::NAME)) {
                Ok(restored) => restored_from(&restored),
                Err(error) => fail(&error.into()),
            };
        }
        Some(Tool::Operate(operate)) => {
            return operate::run(operate).map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
        }
        None => {}
    }
    let (settings, log) = match Settings::of(options) {
        Ok(set) => set,
        Err(error) => return fail(&error),
    };
    log.install();
    raise_open_files();
    let tokio = match tokio::runtime::Runtime::new().context("no threads to be had") {
        Ok(tokio) => tokio,
        Err(error) => return fail(&error),
    };
    match tokio.block_on(run(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// What was restored, a fact a line.
fn restored_from(restored: &Restored) -> ExitCode {
    let Restored { store, incarnation, fork, progress_records, torn_bytes, .. } = restored;
    println!("restored    {} events of store {store}", fork.position);
    println!("incarnation {incarnation}, forked from {} at {}", fork.parent, fork.position);
    println!("progress    {progress_records} records taken over");
    if *torn_bytes > 0 {
        println!("left        {torn_bytes} bytes of an interrupted append in the copy");
    }
    ExitCode::SUCCESS
}

/// Help and version as they are; what is no option in one line.
fn told(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nothing is left to do when nobody reads it.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let told =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let line = told.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    fail(&anyhow::anyhow!("{}; see --help", line.trim_start_matches("error: ")))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("{}: {}", transfers::NAME, one_line(error));
    ExitCode::FAILURE
}

/// One line: every cause once, also where the text of an error names its own already. What was typed in is shown without
/// what it would do to a terminal.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(&cause);
        }
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    line.chars().map(shown).collect()
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let Settings { data, listen, standby, cluster } = settings;
    let data = data.join(transfers::NAME);
    // Before anything is made or waited for: what is misspelt is told at once.
    let kafka = cluster.map(|cluster| cluster.bus()).transpose()?;
    let (listener, store) = tokio::select! {
        opened = open(&data, listen, standby) => opened?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let bus = match kafka {
        Some(kafka) => kafka,
        None => Arc::new(LocalBus::open(data.join("bus"), LocalBusOptions::default())?),
    };
    let config = transfers::Config { data, listener };
    let service = transfers::service_on(store, config, Arc::clone(&bus)).await?;
    println!("transfers listens on http://{listen}");
    let failed = tokio::select! {
        reason = service.failed() => Some(reason),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let mut unclean = service.stop(STOP_LIMIT_DEFAULT).await.err().unwrap_or_default();
    unclean.extend(bus.close().await.err().map(|error| error.to_string()));
    // Why it ended matters more than how.
    failed.map_or(Ok(()), |reason| Err(anyhow::anyhow!(reason)))?;
    anyhow::ensure!(unclean.is_empty(), "not stopped cleanly: {}", unclean.join("; "));
    Ok(())
}

/// A port to listen on, and the event store; a standby waits for both.
async fn open(data: &Path, listen: SocketAddr, standby: bool) -> anyhow::Result<(Bound, EngineStore)> {
    if !standby {
        // Before anything is made in the folder of a service that cannot start.
        let listener = Server::bind(listen).await?;
        return Ok((listener, transfers::open(data)?));
    }
    let waits = || println!("transfers stands by for {}, which another process has open", data.display());
    let store = transfers::open_when_free(data, waits).await?;
    // Whoever starts the other one again binds the port before it sees that its folder is taken.
    Ok((Server::bind_when_free(listen).await?, store))
}
