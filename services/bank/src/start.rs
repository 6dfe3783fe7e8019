//! Starts every service in this process, on one local bus, and stops them in order.

use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use accounts::Webhook;
use anyhow::Context as _;
use factum::{
    Service,
    bus::{Bus, LocalBus, LocalBusOptions},
    service::STOP_LIMIT_DEFAULT,
};
use factum_http::{Bound, Server, raise_open_files};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    options::{Options, Settings},
    restore::refuse_unfinished,
};

/// The port of the accounts, above the port base.
const ACCOUNTS_PORT: u16 = 1;
/// The port of the transfers, above the port base.
const TRANSFERS_PORT: u16 = 2;
/// The port of the statements, above the port base.
const STATEMENTS_PORT: u16 = 3;

/// Runs until told to stop.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let settings = Settings::of(options)?;
    let Settings { port_base, listen, data, standby, webhook, pace, log } = settings;
    log.install();
    refuse_unfinished(&data)?;
    raise_open_files();
    // Before anything is started, so that a signal during the start stops it cleanly as well.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let ports = [ACCOUNTS_PORT, TRANSFERS_PORT, STATEMENTS_PORT].map(|port| SocketAddr::new(listen, port_base + port));
    let (listeners, bus) = tokio::select! {
        opened = open(&data, ports, standby) => opened?,
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
    };
    let addresses = listeners.each_ref().map(Bound::local_addr);
    let services = match start(&data, listeners, webhook, &bus).await {
        Ok(services) => services,
        Err(error) => {
            // The error that matters is the other one.
            let _ = bus.close().await;
            return Err(error);
        }
    };
    let [.., statements] = &services;
    statements.read_models().set_pace(pace);
    greet(addresses, &data);
    let [accounts, transfers, statements] = &services;
    let failed = tokio::select! {
        reason = accounts.failed() => Some(reason),
        reason = transfers.failed() => Some(reason),
        reason = statements.failed() => Some(reason),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let stopped = stop(services, bus).await;
    // Why it ended matters more than how.
    failed.map_or(Ok(()), |reason| Err(anyhow::anyhow!(reason)))?;
    stopped.map(|()| ExitCode::SUCCESS)
}

/// Ports to listen on, and the bus of all; a standby waits for them.
async fn open(
    data: &Path,
    [accounts, transfers, statements]: [SocketAddr; 3],
    standby: bool,
) -> anyhow::Result<([Bound; 3], Arc<dyn Bus>)> {
    let (folder, options) = (data.join("bus"), LocalBusOptions::default());
    if !standby {
        // Before anything is made in the folder of a bank that cannot start.
        let listeners =
            [Server::bind(accounts).await?, Server::bind(transfers).await?, Server::bind(statements).await?];
        return Ok((listeners, Arc::new(LocalBus::open(folder, options)?)));
    }
    let waits = || println!("The bank waits for {}, which another process has open.", data.display());
    let bus = LocalBus::open_when_free(folder, options, waits).await?;
    // Whoever starts the other one again binds the ports before it sees that its folder is taken.
    let free = Server::bind_when_free;
    Ok(([free(accounts).await?, free(transfers).await?, free(statements).await?], Arc::new(bus)))
}

async fn start(
    data: &Path,
    listeners: [Bound; 3],
    webhook: Option<Webhook>,
    bus: &Arc<dyn Bus>,
) -> anyhow::Result<[Service; 3]> {
    let [for_accounts, for_transfers, for_statements] = listeners;
    let config = accounts::Config { data: data.join(accounts::NAME), listener: for_accounts, webhook };
    let accounts = accounts::service(config, Arc::clone(bus)).await.context(accounts::NAME)?;
    let config = transfers::Config { data: data.join(transfers::NAME), listener: for_transfers };
    let transfers = match transfers::service(config, Arc::clone(bus)).await.context(transfers::NAME) {
        Ok(transfers) => transfers,
        Err(error) => return Err(give_up([accounts], error).await),
    };
    let config = statements::Config { data: data.join(statements::NAME), listener: for_statements };
    match statements::service(config, Arc::clone(bus)).await.context(statements::NAME) {
        Ok(statements) => Ok([accounts, transfers, statements]),
        Err(error) => Err(give_up([accounts, transfers], error).await),
    }
}

/// What has started is stopped; the error that matters is the other one.
async fn give_up(started: impl IntoIterator<Item = Service>, error: anyhow::Error) -> anyhow::Error {
    for service in started {
        let _ = service.stop(STOP_LIMIT_DEFAULT).await;
    }
    error
}

/// The write side first, so that the read side sees the end of it; the bus last.
async fn stop(services: [Service; 3], bus: Arc<dyn Bus>) -> anyhow::Result<()> {
    let mut unclean = Vec::new();
    for service in services {
        unclean.extend(service.stop(STOP_LIMIT_DEFAULT).await.err().unwrap_or_default());
    }
    unclean.extend(bus.close().await.err().map(|error| error.to_string()));
    anyhow::ensure!(unclean.is_empty(), "not stopped cleanly: {}", unclean.join("; "));
    Ok(())
}

fn greet([accounts, transfers, statements]: [SocketAddr; 3], data: &Path) {
    let (ada, bob) = ("6f1a7c1e-0000-4000-8000-000000000001", "6f1a7c1e-0000-4000-8000-000000000002");
    let transfer = "7a2b8d2f-0000-4000-8000-000000000001";
    println!(
        "The bank is open; its data is in {}. Ctrl-C closes it.
  accounts    http://{accounts}   commands
  transfers   http://{transfers}   commands
  statements  http://{statements}   queries

Try, in another terminal:
  curl -s http://{accounts}/commands/open-account --json '{{\"account_id\":\"{ada}\",\"holder\":\"Ada\",\"currency\":\"EUR\"}}'
  curl -s http://{accounts}/commands/open-account --json '{{\"account_id\":\"{bob}\",\"holder\":\"Bob\",\"currency\":\"EUR\"}}'
  curl -s http://{accounts}/commands/deposit-funds --json '{{\"account_id\":\"{ada}\",\"amount\":\"125.00\",\"currency\":\"EUR\"}}'
  curl -s http://{transfers}/commands/request-transfer --json '{{\"transfer_id\":\"{transfer}\",\"from\":\"{ada}\",\"to\":\"{bob}\",\"amount\":\"25.00\",\"currency\":\"EUR\"}}'
  curl -s 'http://{statements}/queries/transfer?transfer_id={transfer}'
  curl -s 'http://{statements}/queries/account-summary?account_id={ada}'",
        data.display()
    );
}
