//! `bank load`: opens accounts in a running bank, moves money at random from many connections, and audits.

mod ends;
mod latencies;
mod plan;
mod tally;
mod workers;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::audit::{self, CATCH_UP_MAX, Report};
use crate::client::BankAddress;
use ends::{Ends, wait_for_ends};
use plan::Plan;
use tally::Tally;
use workers::{Planned, Work, send_all};

/// The most commands in flight.
const CONCURRENCY_MAX: i64 = 1_024;
/// The most accounts of a run.
const ACCOUNTS_MAX: u64 = 1_000_000;
/// What a shell expects of a program that Ctrl-C stopped.
const EXIT_INTERRUPTED: u8 = 130;

/// The options of `bank load`.
#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    #[command(flatten)]
    bank: BankAddress,
    /// How many accounts to open.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=ACCOUNTS_MAX))]
    accounts: u64,
    /// How many deposits and withdrawals to send.
    #[arg(long, default_value_t = 20_000)]
    operations: u64,
    /// How many transfers between accounts to request; a run with one account makes none.
    #[arg(long, default_value_t = 1_000)]
    transfers: u64,
    /// How many commands are under way at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=CONCURRENCY_MAX))]
    concurrency: u16,
    /// Decides every account, amount and key: the same seed sends the same commands.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the result as one JSON document, times in microseconds, amounts in minor units.
    #[arg(long)]
    json: bool,
}

/// What a run came to.
struct Outcome {
    opened: Tally,
    operated: Tally,
    elapsed: Duration,
    requested: Tally,
    /// From the first request to the last answer.
    requests_elapsed: Duration,
    ends: Ends,
    /// From the first request to the last end.
    ends_elapsed: Duration,
    /// None when the run was stopped before.
    audit: Option<Report>,
}

impl Outcome {
    /// Whether every command did what it should, and every transfer ended.
    fn is_clean(&self) -> bool {
        [&self.opened, &self.operated, &self.requested].into_iter().all(Tally::is_clean) && self.ends.open == 0
    }
}

/// Runs the load and prints what came of it. Success only when no command failed and the audit is clean.
///
/// # Errors
/// When the bank cannot be audited, or standard output is gone.
pub async fn run(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    let watch = tokio::spawn(stop_on_ctrl_c(Arc::clone(&stop)));
    let outcome = load_and_audit(&args, &stop).await;
    watch.abort();
    let outcome = outcome?;
    print(&args, &outcome)?;
    Ok(match &outcome.audit {
        None => ExitCode::from(EXIT_INTERRUPTED),
        Some(report) if report.is_clean() && outcome.is_clean() => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

/// The first Ctrl-C lets the commands under way end; the next one ends the program at once.
async fn stop_on_ctrl_c(stop: Arc<AtomicBool>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
    }
}

async fn load_and_audit(args: &LoadArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let client = args.bank.client();
    let plan = Plan { seed: args.seed, accounts: args.accounts };
    let send = |what: &'static str, count: u64, planned: Box<Planned>| {
        let progress = progress_line(what, count);
        let work = Work {
            client: client.clone(),
            planned,
            count,
            stop: Arc::clone(stop),
            progress: progress.clone(),
            next: AtomicU64::new(0),
        };
        async move {
            let tally = send_all(Arc::new(work), usize::from(args.concurrency)).await;
            progress.finish_and_clear();
            tally
        }
    };
    let opened = send("opening accounts", args.accounts, Box::new(move |index| plan.opening(index))).await?;
    let begun = Instant::now();
    let operated = send("moving money", args.operations, Box::new(move |index| plan.operation(index))).await?;
    let elapsed = begun.elapsed();
    let transfers = if args.accounts > 1 { args.transfers } else { 0 };
    let begun = Instant::now();
    let mut requested = send("requesting transfers", transfers, Box::new(move |index| plan.transfer(index))).await?;
    let requests_elapsed = begun.elapsed();
    let accepted = std::mem::take(&mut requested.transfers);
    let progress = progress_line("waiting for their ends", accepted.len() as u64);
    let ends = wait_for_ends(&client, accepted, stop, &progress).await?;
    progress.finish_and_clear();
    let ends_elapsed = begun.elapsed();
    let audit = match stop.load(Ordering::Relaxed) {
        true => None,
        false => Some(audit::audit(&client, CATCH_UP_MAX).await?),
    };
    Ok(Outcome { opened, operated, elapsed, requested, requests_elapsed, ends, ends_elapsed, audit })
}

/// A line on standard error; indicatif hides it where that is no terminal.
fn progress_line(what: &'static str, count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count).with_style(style).with_message(what)
}

fn print(args: &LoadArgs, outcome: &Outcome) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        let document = json!({
            "seed": args.seed,
            "opened": { "accepted": outcome.opened.accepted, "failed": outcome.opened.failed },
            "operations": outcome.operated.to_json(outcome.elapsed),
            "transfers": outcome.requested.to_json(outcome.requests_elapsed),
            "ends": outcome.ends.to_json(outcome.ends_elapsed),
            "audit": outcome.audit.as_ref().map(Report::to_json),
        });
        return writeln!(out, "{document}");
    }
    writeln!(out, "{} accounts open, {} refused", outcome.opened.accepted, outcome.opened.failed)?;
    write!(out, "{}", outcome.operated.to_text("operations", outcome.elapsed))?;
    if outcome.requested.total() > 0 {
        write!(out, "{}", outcome.requested.to_text("transfers", outcome.requests_elapsed))?;
        write!(out, "{}", outcome.ends.to_text(outcome.ends_elapsed))?;
    }
    match &outcome.audit {
        None => writeln!(out, "stopped before the end; not audited"),
        Some(report) => report.write_text(&mut out),
    }
}
