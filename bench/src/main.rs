//! Our figures, as ratios within one run. Build it with `--release`.

mod engine;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Measures the system and its parts")]
enum Benchmark {
    /// The engine beside a bare loop of write and fdatasync.
    Engine(engine::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Benchmark::parse() {
        Benchmark::Engine(arguments) => engine::run(&arguments),
    }
}
