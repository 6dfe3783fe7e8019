//! The bank: every service in one process, and the tools that exercise and audit it.

mod audit;
mod client;
mod dead_letters;
mod events;
mod forks;
#[cfg(test)]
mod late_tests;
mod load;
mod options;
mod print;
mod quarantine;
mod rebuild;
mod restore;
#[cfg(test)]
mod slow_bus;
mod start;
#[cfg(test)]
mod steps_tests;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The reference system of Factum: independent event-sourced services in one process.
///
/// Without a subcommand it starts them all and prints where they listen. Ctrl-C stops them cleanly; started again,
/// everything is still there.
#[derive(Parser)]
#[command(name = "bank", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    start: options::Options,
    #[command(subcommand)]
    tool: Option<Tool>,
}

/// What to do with a running bank; `restore` is for one that is stopped.
#[derive(Subcommand)]
enum Tool {
    /// Open accounts, move money at random, then audit.
    Load(load::LoadArgs),
    /// Fold every event anew and compare what the services answer.
    Audit(audit::AuditArgs),
    /// Show what happened, oldest first.
    Events(events::EventsArgs),
    /// Fill read models anew while they answer, compare, and let the new ones answer.
    Rebuild(rebuild::RebuildArgs),
    /// Fold read models anew while they answer, and compare.
    Verify(rebuild::ModelsArgs),
    /// Let the read models answer again that answered before the last rebuild; they were fed all the while.
    RollBack(rebuild::ModelsArgs),
    /// Give up a rebuild that is under way, and drop every read model that does not answer.
    Discard(rebuild::ModelsArgs),
    /// Show what statements could not apply and decide about it.
    Quarantine(quarantine::QuarantineArgs),
    /// Show what came to accounts as a command and is none, and acknowledge it.
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Show who stands still because another service was restored to before that, and let them go on.
    Forks(forks::ForksArgs),
    /// Show what one request led to, across the services, as a tree.
    Trace(trace::TraceArgs),
    /// Make the event store anew from a copy of the data folder that was made while the bank was stopped.
    Restore(restore::RestoreArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return told(&error),
    };
    let done = match cli.tool {
        None => start::run(cli.start).await,
        Some(Tool::Load(args)) => load::run(args).await,
        Some(Tool::Audit(args)) => audit::run(args).await,
        Some(Tool::Events(args)) => events::run(args).await,
        Some(Tool::Rebuild(args)) => rebuild::rebuild(args).await,
        Some(Tool::Verify(args)) => rebuild::run(args, "verify").await,
        Some(Tool::RollBack(args)) => rebuild::run(args, "roll-back").await,
        Some(Tool::Discard(args)) => rebuild::run(args, "discard").await,
        Some(Tool::Quarantine(args)) => quarantine::run(args).await,
        Some(Tool::DeadLetters(args)) => dead_letters::run(args).await,
        Some(Tool::Forks(args)) => forks::run(args).await,
        Some(Tool::Trace(args)) => trace::run(args).await,
        Some(Tool::Restore(args)) => restore::run(&args),
    };
    done.unwrap_or_else(|error| fail(&error))
}

/// Help and version as they are; what is no option in one line.
fn told(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nothing is left to do when nobody reads it.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let told =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let line = told.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    fail(&anyhow::anyhow!("{}; see --help", line.trim_start_matches("error: ")))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("bank: {}", one_line(error));
    ExitCode::FAILURE
}

/// One line: every cause once, also where the text of an error names its own already. What was typed in is shown without
/// what it would do to a terminal.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(&cause);
        }
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    line.chars().map(shown).collect()
}
