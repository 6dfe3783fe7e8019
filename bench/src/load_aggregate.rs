//! An aggregate's state from its stream, without a cache: read, decoded, folded.
//!
//! Its events lie scattered among those of other aggregates, as they do in a store that many use.

use std::time::{Duration, Instant};

use accounts::domain::{Account, AccountId, DepositFunds, OpenAccount};
use anyhow::{Context as _, Result};
use factum::{
    AggregateId as _, CommandDispatcher,
    dispatch::{At, CommandOptions, load},
    store::{EngineOptions, EngineStore},
};
use uuid::Uuid;

use crate::statistics::{micros, percentile};
use crate::{
    bank,
    ground::{Ground, two_threads},
};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    ground: Ground,
    /// Events of each aggregate.
    #[arg(long, default_value_t = 1_000)]
    events: usize,
    /// Aggregates whose events take turns.
    #[arg(long, default_value_t = 64)]
    aggregates: usize,
    /// Loads that are measured, each aggregate in turn.
    #[arg(long, default_value_t = 1_000)]
    loads: usize,
}

/// Measures and prints.
///
/// # Errors
/// Those of the disk, and of the dispatcher.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let store = EngineStore::open(directory.path(), EngineOptions::default())?;
    let runtime = two_threads()?;
    let accounts: Vec<Uuid> = (1..=arguments.aggregates as u128).map(Uuid::from_u128).collect();
    runtime.block_on(fill(&store, &accounts, arguments.events))?;
    let mut latest = runtime.block_on(measure(&store, &accounts, arguments.loads, arguments.events, At::Latest))?;
    let middle = At::Version(factum::Version::new(arguments.events as u64 / 2));
    let mut half = runtime.block_on(measure(&store, &accounts, arguments.loads, arguments.events / 2, middle))?;
    let Arguments { events, aggregates, .. } = arguments;
    println!("an aggregate of {events} events among {aggregates} such ones, without a cache, {} loads", latest.len());
    println!("{:<24} {:>10} {:>10}", "", "p50 µs", "p99 µs");
    for (name, latencies) in [("latest", &mut latest), ("half of its versions", &mut half)] {
        let [p50, p99] = [0.5, 0.99].map(|share| micros(percentile(latencies, share)));
        println!("{name:<24} {p50:>10.1} {p99:>10.1}");
    }
    Ok(())
}

async fn fill(store: &EngineStore, accounts: &[Uuid], events: usize) -> Result<()> {
    let commands = CommandDispatcher::builder(std::sync::Arc::new(store.clone()))
        .service("accounts")
        .handles::<OpenAccount>()
        .handles::<DepositFunds>()
        .build()?;
    for account in accounts {
        commands.dispatch_named("open-account", bank::opening(account).as_bytes(), CommandOptions::default()).await?;
    }
    for _ in 1..events {
        // Side by side, so that they share a sync.
        let mut deposits = tokio::task::JoinSet::new();
        for account in accounts {
            let (commands, account) = (commands.clone(), *account);
            deposits.spawn(async move {
                let body = bank::deposit(&account);
                commands.dispatch_named("deposit-funds", body.as_bytes(), CommandOptions::default()).await
            });
        }
        while let Some(deposited) = deposits.join_next().await {
            deposited??;
        }
    }
    Ok(())
}

async fn measure(store: &EngineStore, accounts: &[Uuid], loads: usize, events: usize, at: At) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(loads);
    for account in accounts.iter().cycle().take(loads) {
        let id = AccountId::from_uuid(*account);
        let begun = Instant::now();
        let loaded = load::<Account>(store, &id, at).await.context("load")?;
        latencies.push(begun.elapsed());
        anyhow::ensure!(loaded.version.get() == events as u64, "{} events, expected {events}", loaded.version);
    }
    Ok(latencies)
}
