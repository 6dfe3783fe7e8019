//! The bank: every service in one process, and the tools that exercise and audit it.

mod audit;
mod client;
mod events;
mod load;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command line.
#[derive(Parser)]
#[command(name = "bank", version, about)]
struct Cli {
    #[command(subcommand)]
    tool: Tool,
}

/// What to do with a running bank.
#[derive(Subcommand)]
enum Tool {
    /// Open accounts, move money at random, then audit.
    Load(load::LoadArgs),
    /// Fold every event anew and compare what the services answer.
    Audit(audit::AuditArgs),
    /// Show what happened, oldest first.
    Events(events::EventsArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().tool {
        Tool::Load(args) => load::run(args).await,
        Tool::Audit(args) => audit::run(args).await,
        Tool::Events(args) => events::run(args).await,
    }
}
