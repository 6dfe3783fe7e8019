//! Point reads by HTTP, and what either side of the bank costs the other.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    bank::{self, InProcess},
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
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds each load runs in a round.
    #[arg(long, default_value_t = 3_000)]
    milliseconds: u64,
    /// Accounts that are asked for in turn.
    #[arg(long, default_value_t = 6_400)]
    accounts: usize,
    /// Connections of each load.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests a second by which the one side is watched while the other is under half its load.
    #[arg(long, default_value_t = 1_000.0)]
    watched_rate: f64,
    /// Deposits a second beside which queries are watched; half of what the bank keeps up with by default.
    #[arg(long)]
    deposit_rate: Option<f64>,
}

/// Measures and prints.
///
/// # Errors
/// Those of the services.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let runtime = two_threads()?;
    let accounts = bank::account_ids(arguments.accounts);
    let bank = runtime.block_on(start(directory.path(), &accounts))?;
    let load = |to, requests, rate| Load {
        to,
        requests,
        connections: arguments.connections,
        rate,
        time: Duration::from_millis(arguments.milliseconds),
    };
    let reads = |rate| load(bank.statements_at, bank::summaries(&accounts), rate);
    let writes = |rate| load(bank.accounts_at, bank::deposits(&accounts), rate);
    let settle = || runtime.block_on(bank.settled());
    let watched = Some(arguments.watched_rate);
    let mut rounds: [Vec<Answered>; 7] = Default::default();
    for _ in 0..arguments.rounds {
        let most_reads = reads(None).run()?;
        let begun = Instant::now();
        let most_writes = writes(None).run()?;
        let answered_in = begun.elapsed();
        settle()?;
        // What is answered faster than the read side follows cannot go on: the read models would lag more and more.
        let kept_up_rate = most_writes.rate * answered_in.div_duration_f64(begun.elapsed());
        let kept_up = Answered { rate: kept_up_rate, ..Answered::default() };
        let calm_writes = writes(watched).run()?;
        let writes_beside = beside(&writes(watched), &reads(Some(most_reads.rate / 2.0)))?;
        settle()?;
        let calm_reads = reads(watched).run()?;
        let reads_beside =
            beside(&reads(watched), &writes(Some(arguments.deposit_rate.unwrap_or(kept_up_rate / 2.0))))?;
        settle()?;
        let measured = [most_reads, most_writes, kept_up, calm_writes, writes_beside, calm_reads, reads_beside];
        rounds.iter_mut().zip(measured).for_each(|(row, answered)| row.push(answered));
    }
    print(arguments, &rounds);
    runtime.block_on(bank.stop())
}

async fn start(data: &Path, accounts: &[uuid::Uuid]) -> Result<InProcess> {
    let bank = InProcess::start(data).await?;
    bank.open(accounts).await?;
    Ok(bank)
}

/// How the one load is answered while the other runs.
fn beside(watched: &Load, other: &Load) -> Result<Answered> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| other.run());
        let answered = watched.run()?;
        other.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the load panicked")))?;
        Ok(answered)
    })
}

fn print(arguments: &Arguments, rounds: &[Vec<Answered>; 7]) {
    let names = [
        "account-summary, as fast as can be",
        "deposit-funds, as fast as can be",
        "  and what the read side follows",
        "deposit-funds, alone",
        "  beside half the account-summaries",
        "account-summary, alone",
        "  beside half the deposit-funds",
    ];
    println!(
        "by HTTP, {} connections, load generator on the same machine; medians of {} rounds",
        arguments.connections, arguments.rounds
    );
    println!("{:<38} {:>10} {:>9} {:>9} {:>12}", "", "a second", "p50 µs", "p99 µs", "p99 × alone");
    for (index, (name, row)) in names.iter().zip(rounds).enumerate() {
        let of = |value: fn(&Answered) -> f64| median(&mut row.iter().map(value).collect::<Vec<_>>());
        let rises = name.contains("beside").then(|| {
            let ratios = row.iter().zip(&rounds[index - 1]);
            median(&mut ratios.map(|(beside, alone)| beside.p99.div_duration_f64(alone.p99)).collect::<Vec<_>>())
        });
        if name.contains("follows") {
            println!("{name:<38} {:>10.0}", of(|answered| answered.rate));
            continue;
        }
        println!(
            "{name:<38} {:>10.0} {:>9.0} {:>9.0} {:>12}",
            of(|answered| answered.rate),
            of(|answered| micros(answered.p50)),
            of(|answered| micros(answered.p99)),
            rises.map(|ratio| format!("{ratio:.2}")).unwrap_or_default()
        );
    }
}
