//! `cargo xtask`: see [`xtask`] for what it is.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::ci::{self, Job};

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
}

fn main() -> ExitCode {
    let root = ci::workspace_root();
    let passed = match Arguments::parse().command {
        Task::Test => ci::test(&root),
        Task::Tidy => said(ci::run_tidy(&root)),
        Task::CheckDependencies => said(ci::check_dependencies(&root)),
        Task::Ci { jobs } => ci::ci(&root, if jobs.is_empty() { &Job::ALL } else { &jobs }),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn said(outcome: anyhow::Result<()>) -> bool {
    outcome.inspect_err(|error| eprintln!("error: {error:#}")).is_ok()
}
