//! Our figures, as ratios within one run. Build it with `--release`.

mod bank;
mod command;
mod commands;
mod distributed;
mod engine;
mod engine_size;
mod ground;
mod load;
mod load_aggregate;
mod memory;
mod queries;
mod rebuild;
mod refill;
mod start;
mod statistics;
mod tail;
mod transfers;
mod visible;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Measures the system and its parts")]
enum Benchmark {
    /// The engine beside a bare loop of write and fdatasync.
    Engine(engine::Arguments),
    /// The engine with many events in many streams.
    EngineSize(engine_size::Arguments),
    /// One caller's whole command beside a bare engine append.
    Command(command::Arguments),
    /// An aggregate's state from its stream, without a cache.
    LoadAggregate(load_aggregate::Arguments),
    /// From a command's receipt to its being visible in another service.
    Visible(visible::Arguments),
    /// Many commands at once, in this process and by HTTP.
    Commands(commands::Arguments),
    /// Point reads by HTTP, and what commands and queries cost each other.
    Queries(queries::Arguments),
    /// What a deposit at a steady rate waits for.
    Tail(tail::Arguments),
    /// Transfers between accounts, from request to completed.
    Transfers(transfers::Arguments),
    /// Filling read models from nothing.
    Refill(refill::Arguments),
    /// What queries wait for while read models are rebuilt beside them.
    Rebuild(rebuild::Arguments),
    /// Three processes on a Kafka: from a command to its being visible, and how long work stands still when somebody dies.
    Distributed(distributed::Arguments),
    /// Resident memory of the bank after many commands.
    Memory(memory::Arguments),
    /// From the start of the bank to both services being ready.
    Start(start::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Benchmark::parse() {
        Benchmark::Engine(arguments) => engine::run(&arguments),
        Benchmark::EngineSize(arguments) => engine_size::run(&arguments),
        Benchmark::Command(arguments) => command::run(&arguments),
        Benchmark::LoadAggregate(arguments) => load_aggregate::run(&arguments),
        Benchmark::Visible(arguments) => visible::run(&arguments),
        Benchmark::Commands(arguments) => commands::run(&arguments),
        Benchmark::Queries(arguments) => queries::run(&arguments),
        Benchmark::Tail(arguments) => tail::run(&arguments),
        Benchmark::Transfers(arguments) => transfers::run(&arguments),
        Benchmark::Refill(arguments) => refill::run(&arguments),
        Benchmark::Rebuild(arguments) => rebuild::run(&arguments),
        Benchmark::Distributed(arguments) => distributed::run(&arguments),
        Benchmark::Memory(arguments) => memory::run(&arguments),
        Benchmark::Start(arguments) => start::run(&arguments),
    }
}
