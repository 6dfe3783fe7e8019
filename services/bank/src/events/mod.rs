//! `bank events`: what happened, one line an event, oldest first.

mod line;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::client::{BankAddress, BankClient, EVENTS_PAGE_MAX, Log, LoggedEvent};

/// How often a followed log is asked for more.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// The options of `bank events`.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    #[command(flatten)]
    bank: BankAddress,
    /// Whose events.
    #[arg(long, value_enum, default_value_t = Log::Accounts)]
    of: Log,
    /// Begin after this position.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// Go on as more happens, until Ctrl-C.
    #[arg(long)]
    follow: bool,
    /// Print each event as a JSON document on a line of its own.
    #[arg(long)]
    json: bool,
}

/// Prints the events. A closed pipe ends it with success; Ctrl-C ends it with the status shells give to that, also
/// where it was started by something that ignores Ctrl-C.
///
/// # Errors
/// When the bank does not answer, or standard output fails otherwise.
pub async fn run(args: EventsArgs) -> anyhow::Result<ExitCode> {
    let client = args.bank.client();
    let mut out = io::stdout();
    tokio::select! {
        printed = print_events(&client, &args, &mut out) => printed.map(|()| ExitCode::SUCCESS),
        asked = tokio::signal::ctrl_c() => Ok(asked.map(|()| ExitCode::from(INTERRUPTED))?),
    }
}

async fn print_events(client: &BankClient, args: &EventsArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let mut after = args.after;
    loop {
        let page = client.events(args.of, after, EVENTS_PAGE_MAX).await;
        let page = page.with_context(|| format!("reading the events after position {after}"))?;
        match page.last() {
            Some(last) => {
                after = last.position;
                match print_page(&page, args.json, out) {
                    // Whoever read us has seen enough.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    printed => printed?,
                }
            }
            None if args.follow => tokio::time::sleep(FOLLOW_INTERVAL).await,
            None => return Ok(()),
        }
    }
}

/// One write a page, so that a reader never sees half a line for long.
fn print_page(page: &[LoggedEvent], json: bool, out: &mut impl Write) -> io::Result<()> {
    let mut text = String::new();
    for event in page {
        let printed = if json { serde_json::to_string(event)? } else { line::readable(event) };
        text.push_str(&printed);
        text.push('\n');
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests;
