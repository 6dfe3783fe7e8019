//! Many commands at once, each on an account of its own: in this process, and by HTTP.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use factum::{CommandDispatcher, dispatch::CommandOptions};
use uuid::Uuid;

use crate::{
    bank::{self, InProcess, WriteSide},
    ground::{Ground, two_threads},
    load::{Answered, Load},
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
    /// Milliseconds each competitor runs in a round.
    #[arg(long, default_value_t = 2_000)]
    milliseconds: u64,
    /// Callers, or connections, at once.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Accounts each of them goes to in turn.
    #[arg(long, default_value_t = 10)]
    accounts_each: usize,
}

/// What is measured, in the order of a round.
const NAMES: [&str; 4] = [
    "the write side, in process",
    "the write side, by HTTP",
    "beside relay and read side, in process",
    "beside relay and read side, by HTTP",
];

/// Measures and prints.
///
/// # Errors
/// Those of the services.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let runtime = two_threads()?;
    let accounts = bank::account_ids(arguments.concurrency * arguments.accounts_each);
    let time = Duration::from_millis(arguments.milliseconds);
    let alone = runtime.block_on(WriteSide::start(&directory.path().join("alone"), &accounts))?;
    let bank = runtime.block_on(start(&directory.path().join("bank"), &accounts))?;
    let requests = bank::deposits(&accounts);
    let load = |to| Load { to, requests: requests.clone(), connections: arguments.concurrency, rate: None, time };
    let called = |commands: &CommandDispatcher| callers(commands.clone(), &accounts, arguments.concurrency, time);
    let mut rounds: [Vec<Answered>; 4] = Default::default();
    for _ in 0..arguments.rounds {
        rounds[0].push(runtime.block_on(called(alone.service.commands()))?);
        rounds[1].push(load(alone.at).run()?);
        rounds[2].push(runtime.block_on(called(bank.accounts.commands()))?);
        runtime.block_on(bank.settled())?;
        rounds[3].push(load(bank.accounts_at).run()?);
        runtime.block_on(bank.settled())?;
    }
    print(arguments, &rounds);
    runtime.block_on(async {
        alone.stop().await?;
        bank.stop().await
    })
}

async fn start(data: &Path, accounts: &[Uuid]) -> Result<InProcess> {
    let bank = InProcess::start(data).await?;
    bank.open(accounts).await?;
    Ok(bank)
}

/// Callers that each send one command after the other.
async fn callers(
    commands: CommandDispatcher,
    accounts: &[Uuid],
    concurrency: usize,
    time: Duration,
) -> Result<Answered> {
    let bodies: Arc<Vec<String>> = Arc::new(accounts.iter().map(bank::deposit).collect());
    let begun = Instant::now();
    let callers: Vec<_> = (0..concurrency)
        .map(|number| {
            let (commands, bodies) = (commands.clone(), Arc::clone(&bodies));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                for body in bodies.iter().cycle().skip(number).step_by(concurrency) {
                    if begun.elapsed() >= time {
                        break;
                    }
                    let sent = Instant::now();
                    commands.dispatch_named("deposit-funds", body.as_bytes(), CommandOptions::default()).await?;
                    latencies.push(sent.elapsed());
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await??);
    }
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(Answered { rate, p50: percentile(&mut latencies, 0.5), p99: percentile(&mut latencies, 0.99) })
}

fn print(arguments: &Arguments, rounds: &[Vec<Answered>; 4]) {
    println!(
        "deposit-funds, {} at once on different accounts, synced before the answer; medians of {} rounds",
        arguments.concurrency, arguments.rounds
    );
    println!("{:<40} {:>10} {:>9} {:>9}", "", "a second", "p50 µs", "p99 µs");
    for (name, row) in NAMES.iter().zip(rounds) {
        let of = |value: fn(&Answered) -> f64| median(&mut row.iter().map(value).collect::<Vec<_>>());
        println!(
            "{name:<40} {:>10.0} {:>9.0} {:>9.0}",
            of(|answered| answered.rate),
            of(|answered| micros(answered.p50)),
            of(|answered| micros(answered.p99))
        );
    }
}
