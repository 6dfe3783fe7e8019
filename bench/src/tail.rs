//! What a deposit at a steady rate waits for: the write side alone, then the bank with its parts.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use crate::{
    bank::{self, InProcess, WriteSide},
    ground::{Ground, two_threads},
    load::{Answered, Load},
    statistics::{median, micros},
};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    ground: Ground,
    /// Rounds each figure is the median of.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Milliseconds of load in a round.
    #[arg(long, default_value_t = 5_000)]
    milliseconds: u64,
    /// Accounts that are deposited to in turn.
    #[arg(long, default_value_t = 6_400)]
    accounts: usize,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Deposits a second.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// A directory in memory (`/dev/shm`): measures also with the bus, the read database and both kept there, which
    /// shows what their syncs cost.
    #[arg(long)]
    memory: Option<PathBuf>,
    /// Measures the row of this number only, counted from 0.
    #[arg(long)]
    row: Option<usize>,
}

/// The folders of what is derived, below the data's.
const BUS: &str = "bus";
const STATEMENTS: &str = "statements";

/// Measures and prints.
///
/// # Errors
/// Those of the services.
pub fn run(arguments: &Arguments) -> Result<()> {
    println!(
        "deposits by HTTP, {} a second over {} connections; medians of {} rounds",
        arguments.rate, arguments.connections, arguments.rounds
    );
    println!("{:<44} {:>9} {:>9} {:>9}", "", "a second", "p50 µs", "p99 µs");
    let wanted = |row| arguments.row.is_none_or(|only| only == row);
    let in_memory: [(&str, &[&str]); 4] = [
        ("the whole bank", &[]),
        ("  its bus in memory", &[BUS]),
        ("  its read database in memory", &[STATEMENTS]),
        ("  bus and read database in memory", &[BUS, STATEMENTS]),
    ];
    if wanted(0) {
        print("the write side alone", &write_side(arguments)?);
    }
    for (name, parts) in (1..).zip(in_memory).filter(|(row, _)| wanted(*row)).map(|(_, row)| row) {
        match &arguments.memory {
            Some(memory) => print(name, &whole_bank(arguments, memory, parts)?),
            None if parts.is_empty() => print(name, &whole_bank(arguments, Path::new(""), parts)?),
            None => {}
        }
    }
    Ok(())
}

fn print(name: &str, rounds: &[Answered]) {
    let of = |value: fn(&Answered) -> f64| median(&mut rounds.iter().map(value).collect::<Vec<_>>());
    println!(
        "{name:<44} {:>9.0} {:>9.0} {:>9.0}",
        of(|answered| answered.rate),
        of(|answered| micros(answered.p50)),
        of(|answered| micros(answered.p99)),
    );
}

fn write_side(arguments: &Arguments) -> Result<Vec<Answered>> {
    let directory = arguments.ground.folder()?;
    let accounts = bank::account_ids(arguments.accounts);
    let runtime = two_threads()?;
    let side = runtime.block_on(WriteSide::start(directory.path(), &accounts))?;
    let load = load(arguments, side.at, &accounts);
    let rounds = (0..arguments.rounds).map(|_| load.run()).collect::<Result<_>>()?;
    runtime.block_on(side.stop())?;
    Ok(rounds)
}

fn whole_bank(arguments: &Arguments, memory: &Path, in_memory: &[&str]) -> Result<Vec<Answered>> {
    let directory = arguments.ground.folder()?;
    let elsewhere = if in_memory.is_empty() { None } else { Some(tempfile::tempdir_in(memory)?) };
    for (part, elsewhere) in in_memory.iter().zip(elsewhere.iter().cycle()) {
        let target = elsewhere.path().join(part);
        std::fs::create_dir(&target)?;
        std::os::unix::fs::symlink(target, directory.path().join(part))?;
    }
    let accounts = bank::account_ids(arguments.accounts);
    let runtime = two_threads()?;
    let bank = runtime.block_on(InProcess::start(directory.path()))?;
    runtime.block_on(bank.open(&accounts))?;
    let load = load(arguments, bank.accounts_at, &accounts);
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        rounds.push(load.run()?);
        runtime.block_on(bank.settled())?;
    }
    runtime.block_on(bank.stop())?;
    Ok(rounds)
}

fn load(arguments: &Arguments, to: std::net::SocketAddr, accounts: &[uuid::Uuid]) -> Load {
    Load {
        to,
        requests: bank::deposits(accounts),
        connections: arguments.connections,
        rate: Some(arguments.rate),
        time: Duration::from_millis(arguments.milliseconds),
    }
}
