//! The statements service on its own: `statements --help`.

mod options;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser as _;
use factum::{
    bus::{Bus, LocalBus, LocalBusOptions},
    service::STOP_LIMIT_DEFAULT,
};
use tokio::signal::unix::{SignalKind, signal};

use options::{Options, Settings};

fn main() -> ExitCode {
    let settings = match Settings::of(Options::parse()) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    let Settings { data, listen, log } = settings;
    log.install();
    let tokio = match tokio::runtime::Runtime::new().context("no threads to be had") {
        Ok(tokio) => tokio,
        Err(error) => return fail(&error),
    };
    match tokio.block_on(run(data, listen)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("{}: {error:#}", statements::NAME);
    ExitCode::FAILURE
}

async fn run(data: PathBuf, listen: SocketAddr) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let data = data.join(statements::NAME);
    let bus: Arc<dyn Bus> = Arc::new(LocalBus::open(&data.join("bus"), LocalBusOptions::default())?);
    let service = statements::service(statements::Config { data, listen }, Arc::clone(&bus)).await?;
    println!("statements listens on http://{listen}");
    let failed = tokio::select! {
        reason = service.failed() => Some(reason),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let stopped = service.stop(STOP_LIMIT_DEFAULT).await;
    bus.close().await?;
    if let Err(unclean) = stopped {
        anyhow::bail!("not stopped cleanly: {}", unclean.join("; "));
    }
    failed.map_or(Ok(()), |reason| Err(anyhow::anyhow!(reason)))
}
