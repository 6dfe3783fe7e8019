//! `bank trace`: what one request from outside led to, across the services, as a tree.
//!
//! It reads the logs of all services, transfers first, where journeys across services begin. Once is enough for an id that
//! is met where its journeys begin, as that of a transfer; else they are read again, for what came before it was met. What
//! is kept of them is bounded, whatever the logs hold.

mod journey;
mod show;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;

use uuid::{Uuid, fmt::Hyphenated};

use crate::client::{BankAddress, BankClient, EVENTS_PAGE_MAX, Log, LoggedEvent};
use journey::{Journey, Recorded};

/// The most journeys that are shown: the latest.
const JOURNEYS_MAX: usize = 20;
/// The most events that are kept, of all journeys together.
const EVENTS_KEPT_MAX: usize = 10_000;

/// The most characters of an id: more than any stream or command has.
const ID_CHARS_MAX: usize = 512;

/// The logs, in the order in which they are read.
const LOGS: [Log; 2] = [Log::Transfers, Log::Accounts];

/// The options of `bank trace`.
#[derive(Debug, clap::Args)]
pub struct TraceArgs {
    /// A correlation, event or command id, the id of a transfer or an account, a stream (`account-6f1a…`), or a command
    /// as it was sent over the bus (`transfer-6f1a…/hold`).
    #[arg(value_name = "ID", value_parser = id_from)]
    id: String,
    #[command(flatten)]
    bank: BankAddress,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// An id as it is recorded: UUIDs in lower case, however they were written.
fn id_from(text: &str) -> Result<String, String> {
    if !(1..=ID_CHARS_MAX).contains(&text.chars().count()) || text.chars().any(char::is_control) {
        return Err(format!("1 to {ID_CHARS_MAX} characters, and no control characters"));
    }
    let hyphenated = text.len() == Hyphenated::LENGTH;
    Ok(Uuid::parse_str(text).ok().filter(|_| hyphenated).map_or_else(|| text.to_owned(), |id| id.to_string()))
}

/// What an id turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Correlation,
    Command,
    Event,
    Transfer,
    Account,
    Stream,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Correlation => "correlation id",
            Self::Command => "command",
            Self::Event => "event",
            Self::Transfer => "transfer",
            Self::Account => "account",
            Self::Stream => "stream",
        }
    }

    /// What an id is to an event.
    fn of(id: &str, event: &LoggedEvent, recorded: &Recorded) -> Option<Self> {
        let stream_of = |category: &str| event.stream.strip_prefix(category).is_some_and(|rest| rest == id);
        let is = |other: &Option<String>| other.as_deref() == Some(id);
        match () {
            () if is(&recorded.correlation) => Some(Self::Correlation),
            () if is(&recorded.command) || is(&recorded.bus_command) || stream_of("outcome-") => Some(Self::Command),
            () if is(&recorded.event) => Some(Self::Event),
            () if stream_of("transfer-") => Some(Self::Transfer),
            () if stream_of("account-") => Some(Self::Account),
            () if event.stream == id => Some(Self::Stream),
            () => None,
        }
    }
}

/// What was found.
#[derive(Debug)]
struct Trace {
    id: String,
    kinds: Vec<Kind>,
    /// The latest ones, oldest first.
    journeys: Vec<Journey>,
    /// Whether there are journeys before these.
    earlier: bool,
    /// How many of their events are left out.
    left_out: u64,
}

/// Traces, and prints what it found.
///
/// # Errors
/// When the bank does not answer, nothing has to do with the id, or standard output is gone.
pub async fn run(args: TraceArgs) -> anyhow::Result<ExitCode> {
    let trace = trace(&args.bank.client(), &args.id).await?;
    let text = if args.json { format!("{}\n", show::as_json(&trace)) } else { show::as_text(&trace) };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => Ok(written.map(|()| ExitCode::SUCCESS)?),
    }
}

async fn trace(client: &BankClient, id: &str) -> anyhow::Result<Trace> {
    let mut found = Found::default();
    each_event(client, |log, event| found.look(id, log, event)).await?;
    let Found { mut kinds, latest, earlier, kept } = found;
    anyhow::ensure!(
        !latest.is_empty(),
        "no event has to do with `{id}`: give a correlation, event, command, transfer or account id, or a stream"
    );
    kinds.sort_unstable();
    // What is left out is counted of these journeys alone.
    let counted = kept.left_out == 0 || !earlier;
    let whole = latest.iter().all(|correlation| correlation == id || kept.has_begin_of(correlation));
    let Kept { mut events, left_out, .. } = if whole && counted {
        kept
    } else {
        let mut kept = Kept::default();
        each_event(client, |log, event| kept.keep(&latest, log, event)).await?;
        kept
    };
    let journeys = latest.into_iter().map(|correlation| {
        let events = events.remove(&correlation).unwrap_or_default();
        Journey::of(correlation, events)
    });
    let mut journeys: Vec<Journey> = journeys.collect();
    journeys.sort_by_key(Journey::began);
    Ok(Trace { id: id.to_owned(), kinds, journeys, earlier, left_out })
}

/// What an id is, and which journeys it belongs to.
#[derive(Default)]
struct Found {
    kinds: Vec<Kind>,
    /// The correlation ids of the latest journeys.
    latest: Vec<String>,
    earlier: bool,
    kept: Kept,
}

impl Found {
    fn look(&mut self, id: &str, log: Log, event: &LoggedEvent) {
        let recorded = Recorded::of(event);
        let kind = Kind::of(id, event, &recorded);
        if let (Some(kind), Some(correlation)) = (kind, recorded.correlation) {
            if !self.kinds.contains(&kind) {
                self.kinds.push(kind);
            }
            if !self.latest.contains(&correlation) {
                self.latest.push(correlation);
            }
            if self.latest.len() > JOURNEYS_MAX {
                self.kept.forget(&self.latest.remove(0));
                self.earlier = true;
            }
        }
        self.kept.keep(&self.latest, log, event);
    }
}

/// Events by their correlation id.
#[derive(Default)]
struct Kept {
    events: BTreeMap<String, Vec<(Log, LoggedEvent)>>,
    count: usize,
    left_out: u64,
}

impl Kept {
    /// Keeps an event of one of these journeys.
    fn keep(&mut self, journeys: &[String], log: Log, event: &LoggedEvent) {
        let Some(correlation) = Recorded::of(event).correlation.filter(|other| journeys.contains(other)) else {
            return;
        };
        if self.count == EVENTS_KEPT_MAX {
            self.left_out += 1;
            return;
        }
        self.count += 1;
        self.events.entry(correlation).or_default().push((log, event.clone()));
    }

    fn forget(&mut self, journey: &str) {
        self.count -= self.events.remove(journey).map_or(0, |events| events.len());
    }

    /// Whether nothing of a journey can have come before what was kept first: the request that it is named after, in the
    /// log that is read first.
    fn has_begin_of(&self, journey: &str) -> bool {
        let first = self.events.get(journey).and_then(|events| events.first());
        first.is_some_and(|(log, event)| *log == LOGS[0] && event.metadata.command_id.as_deref() == Some(journey))
    }
}

/// Looks at every event of every service, service by service.
async fn each_event(client: &BankClient, mut look: impl FnMut(Log, &LoggedEvent)) -> anyhow::Result<()> {
    for log in LOGS {
        let mut after = 0;
        loop {
            let page = client.events(log, after, EVENTS_PAGE_MAX).await;
            let page = page.with_context(|| format!("reading the events of {log} after position {after}"))?;
            let Some(last) = page.last().map(|event| event.position) else { break };
            // Without this, a log that repeats a page would be read for ever.
            anyhow::ensure!(last > after, "the events of {log} after position {after} do not go on");
            after = last;
            page.iter().for_each(|event| look(log, event));
        }
    }
    Ok(())
}
