//! Our figures, as ratios within one run. Build it with `--release`.

mod command;
mod engine;
mod start;
mod statistics;
mod visible;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Measures the system and its parts")]
enum Benchmark {
    /// The engine beside a bare loop of write and fdatasync.
    Engine(engine::Arguments),
    /// One caller's whole command beside a bare engine append.
    Command(command::Arguments),
    /// From a command's receipt to its being visible in another service.
    Visible(visible::Arguments),
    /// From the start of the bank to both services being ready.
    Start(start::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Benchmark::parse() {
        Benchmark::Engine(arguments) => engine::run(&arguments),
        Benchmark::Command(arguments) => command::run(&arguments),
        Benchmark::Visible(arguments) => visible::run(&arguments),
        Benchmark::Start(arguments) => start::run(&arguments),
    }
}
