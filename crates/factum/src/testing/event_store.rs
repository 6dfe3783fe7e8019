//! The contract suite of event stores.

mod appending;
mod boundaries;
mod commands;
mod progress;
mod reading;
mod selecting;
mod waiting;

use std::{borrow::Cow, future::Future, sync::Arc};

use uuid::Uuid;

use super::{
    ACTOR, NOW,
    case::{WAIT_MAX, ok, verdict},
    fixtures::actor,
};
use crate::{
    model::{CommandId, CorrelationId, EventId},
    runtime::panic_text,
    store::{
        Append, BoxFuture, CommandRecord, Direction, EventStore, ExpectedVersion, Fingerprint, Metadata, NewEvent,
        Position, Receipt, RecordedEvent, Selection, StreamName, Tag, Version,
    },
};

type Store = Arc<dyn EventStore>;
type Case = (&'static str, fn(Store) -> BoxFuture<'static, ()>);

const CASES: &[&[Case]] = &[
    appending::CASES,
    commands::CASES,
    reading::CASES,
    selecting::CASES,
    boundaries::CASES,
    waiting::CASES,
    progress::CASES,
];

/// Puts an event store to the test: everything dispatcher, projections and relay rely on. Where it
/// does not sync before it answers, let it sync within milliseconds: each case has 20 seconds. `make` gives a new, empty store each time; call this on a tokio runtime with time.
///
/// ```
/// use std::sync::Arc;
/// use factum::{store::MemoryStore, testing};
/// # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
/// testing::event_store_suite(&|| Arc::new(MemoryStore::new())).await;
/// # });
/// ```
///
/// # Panics
/// The store breaks the contract: names every case that failed.
pub async fn event_store_suite(make: &dyn Fn() -> Arc<dyn EventStore>) {
    let mut failures = Vec::new();
    for (name, case) in CASES.iter().copied().flatten() {
        failures.extend(failure(name, case(make())).await);
    }
    verdict("event store", &failures);
}

/// Puts to the test what an event store that outlives its process must keep. `open` opens the same store each time,
/// which is empty the first time; the one before was closed by then, every other time only dropped.
///
/// ```
/// use std::sync::Arc;
/// use factum::{store::{EngineOptions, EngineStore, EventStore}, testing};
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_multi_thread().enable_time().build()?.block_on(async {
/// let open = || -> Arc<dyn EventStore> {
///     Arc::new(EngineStore::open(dir.path(), EngineOptions::default()).expect("opens"))
/// };
/// testing::event_store_reopening_suite(&open).await;
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// The store breaks the contract: names every case that failed.
pub async fn event_store_reopening_suite(open: &dyn Fn() -> Arc<dyn EventStore>) {
    let mut failures = Vec::new();
    let mut seen = None;
    for round in 1..=4 {
        let (tell, told) = tokio::sync::oneshot::channel();
        let case = waiting::reopened(open(), round, seen, tell);
        let name = format!("everything_acknowledged_survives_reopening, round {round}");
        failures.extend(failure(&name, Box::pin(case)).await);
        seen = told.await.ok();
    }
    verdict("event store", &failures);
}

/// Why a case failed. It runs as a task of its own, so that its panic ends nothing else.
pub(super) async fn failure(name: &str, case: BoxFuture<'static, ()>) -> Option<String> {
    let mut task = tokio::spawn(case);
    let why = match tokio::time::timeout(WAIT_MAX, &mut task).await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => {
            error.try_into_panic().map_or_else(|error| error.to_string(), |payload| panic_text(payload.as_ref()))
        }
        Err(_) => {
            task.abort();
            format!("not done after {WAIT_MAX:?}")
        }
    };
    Some(format!("{name}: {why}"))
}

fn stream(name: &str) -> StreamName {
    match StreamName::new(name) {
        Ok(name) => name,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// An event whose fields follow from its number.
fn event(number: u64) -> NewEvent {
    NewEvent {
        id: EventId::from_uuid(Uuid::from_u128(u128::from(number))),
        name: Cow::Borrowed("account.funds-deposited"),
        schema: 1,
        tags: Vec::new(),
        data: format!("{{\"number\":{number}}}").into_bytes(),
    }
}

fn tag(text: &str) -> Tag {
    match Tag::new(text) {
        Ok(tag) => tag,
        Err(error) => panic!("{text}: {error}"),
    }
}

/// An event that only its name and its tags tell from others.
fn tagged(name: &str, tags: &[&str]) -> NewEvent {
    NewEvent { name: Cow::Owned(name.to_owned()), tags: tags.iter().map(|text| tag(text)).collect(), ..event(1) }
}

/// Appends one event to a stream, whatever its version.
async fn append_tagged(store: &Store, to: &str, name: &str, tags: &[&str]) {
    ok(store.append(request().stream(stream(to), ExpectedVersion::Any, vec![tagged(name, tags)])).await);
}

fn metadata() -> Metadata {
    let correlation_id = CorrelationId::from_uuid(Uuid::from_u128(77));
    Metadata { correlation_id, causation_id: None, actor: actor(ACTOR), bus_command: None }
}

fn request() -> Append {
    Append::new(metadata(), NOW)
}

fn command(id: u128, fingerprint: u8) -> CommandRecord {
    CommandRecord { id: CommandId::from_uuid(Uuid::from_u128(id)), fingerprint: Fingerprint([fingerprint; 16]) }
}

/// Appends events of these numbers to one stream, whatever its version.
async fn append(store: &Store, name: &str, numbers: impl IntoIterator<Item = u64>) -> Receipt {
    let events = numbers.into_iter().map(event).collect();
    ok(store.append(request().stream(stream(name), ExpectedVersion::Any, events)).await)
}

async fn head(store: &Store) -> Position {
    let heads = ok(store.heads().await);
    assert!(heads.synced <= heads.written, "{heads:?}");
    heads.written
}

/// Waits until readers see everything that was acknowledged: at once, unless a weaker durability was chosen.
async fn visible(store: &Store) {
    let heads = ok(store.heads().await);
    if heads.synced < heads.written {
        ok(store.synced_beyond(Position::new(heads.written.get() - 1)).await);
    }
}

/// Everything there is.
async fn all(store: &Store) -> Vec<RecordedEvent> {
    visible(store).await;
    let mut events = Vec::new();
    let mut after = Position::ZERO;
    loop {
        let batch = ok(store.read(&Selection::everything(), after, Direction::Forward, 100).await);
        assert!(batch.end || batch.read_to > after, "a read that is not at the end gets on");
        after = batch.read_to;
        events.extend(batch.events);
        if batch.end {
            return events;
        }
    }
}

/// Stream, version and data of events, for comparing.
fn outline(events: &[RecordedEvent]) -> Vec<(String, u64, String)> {
    let data = |event: &RecordedEvent| String::from_utf8_lossy(&event.data).into_owned();
    events.iter().map(|event| (event.stream.to_string(), event.version.get(), data(event))).collect()
}

fn spawn_all<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: u64,
    work: impl Fn(u64) -> F,
) -> Vec<tokio::task::JoinHandle<T>> {
    (0..count).map(|number| tokio::spawn(work(number))).collect()
}

async fn join_all<T>(tasks: Vec<tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.push(ok(task.await));
    }
    results
}

const fn version(number: u64) -> Version {
    Version::new(number)
}

const fn position(number: u64) -> Position {
    Position::new(number)
}
