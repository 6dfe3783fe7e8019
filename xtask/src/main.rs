//! `cargo xtask`: see [`xtask`] for what it is.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::ci::{self, Job};
use xtask::fuzz_http::fuzz_http;
use xtask::{bank, contract, proof, services};

/// Builds, tests and checks the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that tests: builds the binaries the system tests start, runs the example and `cargo test --workspace`.
    ///
    /// Doc tests are included, and no failure hides the tests after it. The last line says `N passed, N failed`.
    Test,
    /// What a compiler does not see: lengths, left-overs, links, the code map.
    ///
    /// Files over 600 lines and functions over 90 fail, files over 400 and functions over 70 are warned about. Markers
    /// of unfinished work, broken links and anchors in Markdown, a code map in ARCHITECTURE.md that names what does not
    /// exist or leaves out a crate, trailing whitespace, paths of one machine, hosts of registries, and crates that do
    /// not open with docs fail.
    Tidy,
    /// Who may import whom, from `cargo metadata`, and what a service's domain and read models may name.
    CheckDependencies,
    /// What every change passes: fmt, tidy, clippy, docs, test. Stops at the first that fails.
    Ci {
        /// Only these, in this order.
        jobs: Vec<Job>,
    },
    /// What services publish, against the code and against what was released of it.
    Contract {
        #[command(subcommand)]
        action: Contract,
    },
    /// Kafka on this machine, without containers: fetched with Maven, for tests and trials, until it is ended.
    Services {
        #[command(subcommand)]
        action: Services,
    },
    /// Kafka and the three services of the bank as processes on this machine, until Ctrl-C.
    Bank(bank::Options),
    /// Random operations on engines beside a naive model, with crashes and reopenings. Minutes; the seed is printed.
    EngineModel {
        /// How many operations.
        #[arg(long, default_value_t = 500_000)]
        operations: u64,
        /// The first store's seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// A real process that appends under load, killed with SIGKILL again and again. Minutes; the seed is printed.
    EngineKill {
        /// How often.
        #[arg(long, default_value_t = 300)]
        times: u64,
        /// Of the moments of death.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The bank under load with transfers, killed with SIGKILL again and again, audited after each restart. Minutes; the
    /// seed is printed.
    BankKill {
        /// How often.
        #[arg(long, default_value_t = 30)]
        times: u64,
        /// Of the load and the moments of death.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The bank as processes on a Kafka of its own: services, broker and connections killed, stopped, cut, delayed, made
    /// forgetful, under load; then everything is audited. The seed and the count of each fault are printed.
    Torture {
        /// How long things go wrong.
        #[arg(long, default_value_t = 3)]
        minutes: u64,
        /// Of the load and the faults.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The whole bank on one thread, driven by seeds: every order of events, deaths, failures, lost records; audited
    /// after each. Hundreds of seeds a minute; those that fail are printed.
    Simulate {
        /// How many seeds.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Every bit of a small store's files, flipped: found, or of no account, never served. Minutes.
    EngineFlip,
    /// Mutated bytes for every decoder. A minute; the seed and the executions of each decoder are printed.
    Fuzz {
        /// How many, of all decoders together.
        #[arg(long, default_value_t = 1_000_000)]
        executions: u64,
        /// Of the mutations.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Adds inputs that end in new ways to the corpus.
        #[arg(long)]
        keep: bool,
    },
    /// A schema-driven fuzzer against every surface of a bank of its own; needs Python 3, installs the rest. The seed is
    /// printed.
    FuzzHttp {
        /// How long, for each surface.
        #[arg(long, default_value_t = 3)]
        minutes: u64,
        /// Of what is sent.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

#[derive(Subcommand)]
enum Contract {
    /// Fails when `contract/` is not what the code publishes, or breaks who relies on `contract/released/`: a field that is
    /// gone, of another type or required now, a message that was renamed or dropped.
    Check,
    /// Rewrites `contract/released/`, which nothing else does. Refuses what `check` refuses.
    Release {
        /// Releases also what breaks somebody, for this reason; it is kept with the changes in `released/broken.json`.
        #[arg(long, value_name = "WHY")]
        breaking: Option<String>,
    },
}

#[derive(Subcommand)]
enum Services {
    /// Starts it unless it runs, with nothing in it, and prints where it is.
    Up,
    /// Ends it.
    Down,
    /// Prints whether it runs, and where.
    Status {
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let root = ci::workspace_root();
    let passed = match Arguments::parse().command {
        Task::Test => ci::test(&root),
        Task::Tidy => said(ci::run_tidy(&root)),
        Task::CheckDependencies => said(ci::check_dependencies(&root)),
        Task::Contract { action: Contract::Check } => said(contract::check(&root)),
        Task::Contract { action: Contract::Release { breaking } } => {
            said(contract::release(&root, breaking.as_deref()))
        }
        Task::Services { action: Services::Up } => said(services::up()),
        Task::Services { action: Services::Down } => said(services::down()),
        Task::Services { action: Services::Status { json } } => said(services::status(json)),
        Task::Bank(options) => said(bank::bank(&root, &options)),
        Task::EngineModel { operations, seed } => said(proof::engine_model(&root, operations, seed)),
        Task::EngineKill { times, seed } => said(proof::engine_kill(&root, times, seed)),
        Task::BankKill { times, seed } => said(proof::bank_kill(&root, times, seed)),
        Task::Simulate { seeds, seed } => said(proof::simulate(&root, seeds, seed)),
        Task::Torture { minutes, seed } => said(proof::torture(&root, minutes, seed)),
        Task::EngineFlip => said(proof::engine_flip(&root)),
        Task::Fuzz { executions, seed, keep } => said(proof::fuzz(&root, executions, seed, keep)),
        Task::FuzzHttp { minutes, seed } => said(fuzz_http(&root, minutes, seed)),
        Task::Ci { jobs } => ci::ci(&root, if jobs.is_empty() { &Job::ALL } else { &jobs }),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn said(outcome: anyhow::Result<()>) -> bool {
    outcome.inspect_err(|error| eprintln!("error: {error:#}")).is_ok()
}
