//! One caller's whole command beside a bare engine append of the same event, taking turns in one run.
//!
//! The command goes through the door HTTP uses: a name and a JSON document in, authorise, validate, look up, load,
//! decide, encode, append synced, receipt and token out. The stream of each account is as long as the account is old;
//! nothing is cached.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use accounts::{
    domain::{DepositFunds, OpenAccount},
    messages::AccountPublication,
};
use anyhow::{Context as _, Result};
use factum::{
    CommandDispatcher,
    dispatch::{CommandKey, CommandOptions, Surface},
    model::ActorId,
    store::{EngineOptions, EngineStore},
};
use factum_engine::{Append, Engine, ExpectedVersion, NewEvent, StreamName};
use uuid::Uuid;

use crate::statistics::{median, micros, percentile};
use crate::{
    bank,
    ground::{Ground, two_threads},
};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    ground: Ground,
    /// Rounds each figure is the median of.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Milliseconds each competitor runs in a round.
    #[arg(long, default_value_t = 300)]
    milliseconds: u64,
    /// Accounts the commands go to in turn.
    #[arg(long, default_value_t = 500)]
    accounts: usize,
}

/// The competitors, in the order of a round.
const NAMES: [&str; 4] = ["engine append()", "engine submit().await", "command", "command with a key"];

/// Measures and prints a table.
///
/// # Errors
/// Those of the disk, and of the dispatcher.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let engine = Engine::open(&directory.path().join("bare"), EngineOptions::default())?;
    let store = Arc::new(EngineStore::open(directory.path().join("commands"), EngineOptions::default())?);
    let commands = CommandDispatcher::builder(store)
        .service("accounts")
        .handles::<OpenAccount>()
        .handles::<DepositFunds>()
        .publishes::<AccountPublication>()
        .build()?;
    let runtime = two_threads()?;
    let accounts: Vec<Uuid> = (1..=arguments.accounts as u128).map(Uuid::from_u128).collect();
    runtime.block_on(open(&commands, &accounts))?;
    let time = Duration::from_millis(arguments.milliseconds);
    let mut rounds: [Vec<[f64; 2]>; 4] = Default::default();
    for round in 0..arguments.rounds {
        let (engine, commands, accounts) = (engine.clone(), commands.clone(), accounts.clone());
        let [plain, keyed] = [None, Some(round)];
        let measured = [
            appends(&engine, time)?,
            runtime.block_on(async { tokio::spawn(submits(engine, time)).await? })?,
            runtime
                .block_on(async { tokio::spawn(deposits(commands.clone(), accounts.clone(), time, plain)).await? })?,
            runtime.block_on(async { tokio::spawn(deposits(commands, accounts, time, keyed)).await? })?,
        ];
        for (row, mut latencies) in rounds.iter_mut().zip(measured) {
            row.push([micros(percentile(&mut latencies, 0.5)), micros(percentile(&mut latencies, 0.99))]);
        }
    }
    print(&rounds);
    Ok(())
}

fn print(rounds: &[Vec<[f64; 2]>; 4]) {
    println!("one caller, one event a command, synced before the answer; medians of {} rounds", rounds[0].len());
    println!("{:<24} {:>10} {:>10} {:>18}", "", "p50 µs", "p99 µs", "p50 × append()");
    for (name, row) in NAMES.iter().zip(rounds) {
        let of = |index: usize| median(&mut row.iter().map(|values| values[index]).collect::<Vec<_>>());
        // Each round against its own append: a disk that slows down slows down both.
        let ratio = median(&mut row.iter().zip(&rounds[0]).map(|(mine, bare)| mine[0] / bare[0]).collect::<Vec<_>>());
        println!("{name:<24} {:>10.1} {:>10.1} {ratio:>18.2}", of(0), of(1));
    }
}

async fn open(commands: &CommandDispatcher, accounts: &[Uuid]) -> Result<()> {
    for account in accounts {
        commands.dispatch_named("open-account", bank::opening(account).as_bytes(), CommandOptions::default()).await?;
    }
    Ok(())
}

async fn deposits(
    commands: CommandDispatcher,
    accounts: Vec<Uuid>,
    time: Duration,
    keyed: Option<usize>,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let started = Instant::now();
    while started.elapsed() < time {
        let account = accounts[latencies.len() % accounts.len()];
        let body = bank::deposit(&account);
        let mut options = CommandOptions::default();
        if let Some(round) = keyed {
            let surface = Surface::Http(ActorId::anonymous());
            options.key = CommandKey::Keyed { surface, key: format!("{round}/{}", latencies.len()) };
        }
        let begun = Instant::now();
        commands.dispatch_named("deposit-funds", body.as_bytes(), options).await?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

/// The event that a deposit leads to, with metadata as the dispatcher writes it.
fn one(number: u64) -> Result<Append> {
    let stream = StreamName::new(format!("account-{}", Uuid::from_u128(u128::from(number % 500))))?;
    let event = NewEvent {
        id: u128::from(number).to_le_bytes(),
        name: "account.funds-deposited".into(),
        schema: 1,
        tags: Vec::new(),
        metadata: br#"{"correlation_id":"01a208df-7a4e-7235-9970-1dc89281e137","actor":"anonymous"}"#.to_vec(),
        data: br#"{"amount":12500,"currency":"EUR","balance":12500}"#.to_vec(),
    };
    Ok(Append::new(number).stream(stream, ExpectedVersion::Any, vec![event]))
}

fn appends(engine: &Engine, time: Duration) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let started = Instant::now();
    while started.elapsed() < time {
        let append = one(latencies.len() as u64)?;
        let begun = Instant::now();
        engine.append(append)?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

async fn submits(engine: Engine, time: Duration) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let started = Instant::now();
    while started.elapsed() < time {
        let append = one(latencies.len() as u64)?;
        let begun = Instant::now();
        engine.submit(append).await.context("append")?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}
