//! From a command's receipt to its being visible in another service: relay, local bus, consumer, SQLite, query.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use accounts::domain::{DepositFunds, OpenAccount};
use anyhow::{Context as _, Result};
use factum::{
    Personal, Service,
    bus::{Bus, LocalBus, LocalBusOptions},
    service::STOP_LIMIT_DEFAULT,
};
use factum_http::Server;
use statements::queries::GetAccountSummary;
use uuid::Uuid;

use crate::{
    ground::{Ground, two_threads},
    statistics::{median, micros, percentile},
};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    ground: Ground,
    /// Rounds each figure is the median of.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Commands in a round.
    #[arg(long, default_value_t = 200)]
    commands: usize,
    /// Commands a second.
    #[arg(long, default_value_t = 50)]
    rate: u32,
}

/// Measures and prints.
///
/// # Errors
/// Those of the services.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let runtime = two_threads()?;
    runtime.block_on(measure(arguments, directory.path()))
}

async fn measure(arguments: &Arguments, data: &std::path::Path) -> Result<()> {
    let bus: Arc<dyn Bus> = Arc::new(LocalBus::open(data.join("bus"), LocalBusOptions::default())?);
    let listen = ([127, 0, 0, 1], 0).into();
    let config = accounts::Config { data: data.join("accounts"), listener: Server::bind(listen).await?, webhook: None };
    let accounts = accounts::service(config, Arc::clone(&bus)).await?;
    let config = statements::Config { data: data.join("statements"), listener: Server::bind(listen).await? };
    let statements = statements::service(config, Arc::clone(&bus)).await?;
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..arguments.rounds {
        let mut latencies = round(arguments, &accounts, &statements).await?;
        rounds[0].push(micros(percentile(&mut latencies, 0.5)));
        rounds[1].push(micros(percentile(&mut latencies, 0.99)));
    }
    let [p50, p99] = rounds.each_mut().map(|values| median(values) / 1e3);
    println!(
        "receipt → visible in another service, {} commands a second, medians of {} rounds",
        arguments.rate, arguments.rounds
    );
    println!("p50 {p50:.2} ms   p99 {p99:.2} ms");
    for service in [accounts, statements] {
        service.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| anyhow::anyhow!(unclean.join("; ")))?;
    }
    Ok(bus.close().await?)
}

async fn round(arguments: &Arguments, accounts: &Service, statements: &Service) -> Result<Vec<Duration>> {
    let pace = Duration::from_secs(1) / arguments.rate.max(1);
    let mut latencies = Vec::with_capacity(arguments.commands);
    for _ in 0..arguments.commands {
        let account_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, latencies.len().to_string().as_bytes());
        let id = account_id.to_string().parse()?;
        let (holder, currency) = (Personal::known("Ada".to_owned()), "EUR".parse()?);
        // The first round opens the accounts, the others find them open.
        let open = OpenAccount { account_id: Some(id), holder, currency };
        let _ = accounts.commands().dispatch(open).await;
        let deposit = DepositFunds { account_id: id, amount: "1.25".parse()?, currency };
        let receipt = accounts.commands().dispatch(deposit).await.context("deposit")?;
        let accepted = Instant::now();
        let query = GetAccountSummary { account_id };
        statements.queries().ask(query).at_least(receipt.token()).await.context("summary")?;
        latencies.push(accepted.elapsed());
        tokio::time::sleep(pace.saturating_sub(accepted.elapsed())).await;
    }
    Ok(latencies)
}
