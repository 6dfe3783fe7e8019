//! The accounts service with relays beside its own that took the topics before it did, and do not know that they are
//! displaced: they wake up now and then and publish, under older epochs, until they notice.

use std::{net::SocketAddr, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use accounts::NAME;
use clap::Parser;
use factum::{
    Runtime,
    bus::Bus,
    relay::{DynPublication, Relay},
    runtime::{LoopState, Stopper},
    service::STOP_LIMIT_DEFAULT,
    store::{EngineOptions, EngineStore, EventStore},
};
use factum_http::Server;
use factum_kafka::{KafkaBus, KafkaOptions};
use tokio::signal::unix::{SignalKind, signal};

/// How many relays of each topic came before.
const TWINS: u64 = 3;
/// How long a twin has to claim its topic before the next comes.
const CLAIM_MAX: Duration = Duration::from_secs(5);
/// How long a twin sleeps between its turns, at most.
const SLEEP_MAX: Duration = Duration::from_secs(2);
/// How long its turns last, at most.
const AWAKE_MAX: Duration = Duration::from_millis(300);

/// Accounts with relays of older epochs.
#[derive(Debug, Parser)]
struct Options {
    /// The cluster.
    #[arg(long)]
    kafka: String,
    /// The folder of all data.
    #[arg(long)]
    data: PathBuf,
    /// The port of the write surface.
    #[arg(long)]
    port: u16,
    /// When the twins wake up.
    #[arg(long)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { kafka, data, port, seed } = Options::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = Server::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let store: Arc<dyn EventStore> =
        Arc::new(EngineStore::open(data.join(NAME).join("events"), EngineOptions::default())?);
    let bus: Arc<dyn Bus> = Arc::new(KafkaBus::new(KafkaOptions::new(&kafka)?)?);
    let mut random = fastrand::Rng::with_seed(seed);
    for twin in 0..TWINS {
        for publication in accounts::builder().publications() {
            let topic = publication.topic().to_owned();
            if !claims(relay(publication, &store, &bus), random.fork()).await {
                eprintln!("twin {twin} of {topic} has not claimed it within {CLAIM_MAX:?}, and is none");
            }
        }
    }
    let mut service = accounts::builder().store(Arc::clone(&store)).bus(Arc::clone(&bus)).start().await?;
    listener.serve_commands(&mut service);
    println!("accounts listens on http://127.0.0.1:{port}, with {TWINS} twins of each relay");
    tokio::select! {
        reason = service.failed() => anyhow::bail!(reason),
        _ = terminate.recv() => {}
    }
    let unclean = service.stop(STOP_LIMIT_DEFAULT).await.err().unwrap_or_default();
    anyhow::ensure!(unclean.is_empty(), "not stopped cleanly: {}", unclean.join("; "));
    Ok(bus.close().await?)
}

fn relay(publication: DynPublication, store: &Arc<dyn EventStore>, bus: &Arc<dyn Bus>) -> Relay {
    Relay::new("bank", NAME, publication, Arc::clone(store), Arc::clone(bus), Runtime::tokio())
}

/// Lets a relay take its topic, and leaves it to its turns from then on. False: it did not, and never will.
async fn claims(relay: Relay, mut random: fastrand::Rng) -> bool {
    let (claimed, is_claimed) = tokio::sync::oneshot::channel();
    let twin = tokio::spawn(async move {
        let status = relay.status().clone();
        let (_stopper, stop) = Stopper::new();
        let mut claimed = Some(claimed);
        let mut run = pin!(relay.run(stop));
        loop {
            if let Ok(ended) = tokio::time::timeout(AWAKE_MAX.mul_f64(random.f64()), &mut run).await {
                eprintln!("a twin of {} has ended: {ended:?}", status.name());
                return;
            }
            if matches!(status.report().state, LoopState::Live | LoopState::CatchingUp)
                && let Some(claimed) = claimed.take()
            {
                // Nobody waits any more: it is aborted in a moment.
                let _ = claimed.send(());
            }
            if claimed.is_none() {
                tokio::time::sleep(SLEEP_MAX.mul_f64(random.f64())).await;
            }
        }
    });
    let has_claimed = matches!(tokio::time::timeout(CLAIM_MAX, is_claimed).await, Ok(Ok(())));
    if !has_claimed {
        // One that claimed later would displace the service's own relay.
        twin.abort();
    }
    has_claimed
}
