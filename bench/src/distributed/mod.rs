//! The bank as three processes on an Apache Kafka of one node, all on this machine: built release binaries, driven by HTTP.

mod failover;
mod town;
mod visible;

use anyhow::Result;

use self::town::Town;
use crate::{
    ground::{Ground, two_threads},
    statistics::micros,
};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    ground: Ground,
    /// Rounds each figure is the median of.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Accounts that are deposited to in turn.
    #[arg(long, default_value_t = 500)]
    accounts: usize,
    /// Deposits a second under light load.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Seconds of load in a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Deposits at full speed, from which the sustainable rate is told.
    #[arg(long, default_value_t = 20_000)]
    burst: usize,
    /// Deposits under way at once at full speed.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// How often each is killed: accounts beside a standby, statements, the broker. 0 leaves it out.
    #[arg(long, default_value_t = 5)]
    kills: usize,
}

/// Measures and prints.
///
/// # Errors
/// Programs that are not built, no Java or Maven, those of the services.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let runtime = two_threads()?;
    runtime.block_on(measure(arguments, directory.path()))
}

async fn measure(arguments: &Arguments, folder: &std::path::Path) -> Result<()> {
    let mut town = Town::found(folder).await?;
    let accounts = town.open(arguments.accounts).await?;
    println!("three processes and a Kafka of one node on this machine; medians of {} rounds", arguments.rounds);
    println!("{:<52} {:>9} {:>9} {:>9}", "receipt → visible in statements", "a second", "p50 ms", "p99 ms");
    let light = visible::at_rate(&town, &accounts, arguments, arguments.rate).await?;
    print("light load", &light);
    let full = visible::sustainable(&town, &accounts, arguments).await?;
    let half = visible::at_rate(&town, &accounts, arguments, full / 2.0).await?;
    print(&format!("half of the sustainable {full:.0} deposits a second"), &half);
    if arguments.kills > 0 {
        failover::measure(&mut town, &accounts, arguments.kills).await?;
    }
    town.stop().await
}

fn print(name: &str, told: &visible::Told) {
    let millis = |duration| micros(duration) / 1e3;
    println!("{name:<52} {:>9.0} {:>9.1} {:>9.1}", told.rate, millis(told.p50), millis(told.p99));
}
