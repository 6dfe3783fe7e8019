//! The loop of effects: each message once as far as its effect's ids go, in order per key, different keys at once.

mod stopped;

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use factum::{
    CommandId, EventId,
    bus::{Assignment, ConsumerOptions, Envelope, Record, TopicPartition},
    consumer::{ConsumerEnd, Effect, EffectConsumer, EffectError, Seen},
    runtime::LoopState,
    store::{
        Append, BoxFuture, CommandRecord, Direction, Durability, EngineOptions, EngineStore, EventStore,
        ExpectedVersion, Fingerprint, MemoryStore, Metadata, NewEvent, Position, Selection, StreamName,
    },
    testing,
};
use tokio::sync::{Semaphore, watch};

use crate::{
    faults::{Fault, Faults, faulty, killed_anywhere},
    world::{Running, TOPIC, World, eventually, partition_of, raise, raise_some, running, within, world},
};

const COUNTERS: usize = 4;
const ROUNDS: usize = 3;

/// Notes each message in the event store, under an id derived from it.
pub struct Noting(pub Arc<dyn EventStore>);

impl Effect for Noting {
    fn take<'a>(
        &'a self,
        _: &'a TopicPartition,
        _: &'a Record,
        message: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move {
            let event = NewEvent {
                id: EventId::from_uuid(message.id.derive("note")),
                name: Cow::Borrowed("note.made"),
                schema: 1,
                tags: Vec::new(),
                data: message.position.to_string().into_bytes(),
            };
            let metadata = Metadata {
                correlation_id: message.correlation_id,
                causation_id: Some(message.id.as_uuid()),
                actor: message.actor.clone(),
                bus_command: None,
            };
            let id = CommandId::from_uuid(message.id.derive("noting"));
            let append = Append::new(metadata, testing::NOW)
                .stream(noted(&message.stream), ExpectedVersion::Any, vec![event])
                .command(CommandRecord { id, fingerprint: Fingerprint([0; 16]) });
            self.0.append(append).await.map(drop).map_err(|error| EffectError::Later(error.to_string()))
        })
    }
}

fn noted(stream: &StreamName) -> StreamName {
    StreamName::new(format!("noted_{stream}")).unwrap()
}

/// What was noted about each stream, in order.
pub async fn notes(store: &dyn EventStore) -> Vec<(String, Vec<u64>)> {
    let batch = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1_000).await.unwrap();
    let mut notes: Vec<(String, Vec<u64>)> = Vec::new();
    for event in batch.events.into_iter().filter(|event| &*event.name == "note.made") {
        let (stream, position) = (event.stream.to_string(), serde_json::from_slice(&event.data).unwrap());
        match notes.iter_mut().find(|(known, _)| *known == stream) {
            Some((_, positions)) => positions.push(position),
            None => notes.push((stream, vec![position])),
        }
    }
    notes.sort();
    notes
}

/// What there is to be noted: every raise, by its stream.
async fn to_be_noted(store: &dyn EventStore) -> Vec<(String, Vec<u64>)> {
    let batch = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1_000).await.unwrap();
    let mut all: Vec<(String, Vec<u64>)> = Vec::new();
    for event in batch.events.iter().filter(|event| &*event.name == "counter.raised") {
        let (stream, position) = (noted(&event.stream).to_string(), event.position.get());
        match all.iter_mut().find(|(known, _)| *known == stream) {
            Some((_, positions)) => positions.push(position),
            None => all.push((stream, vec![position])),
        }
    }
    all.sort();
    all
}

fn started(world: &World, effect: Arc<dyn Effect>) -> (Running<ConsumerEnd>, watch::Receiver<Seen>) {
    let options =
        ConsumerOptions { group: "noting".to_owned(), topics: vec![TOPIC.into()], assignment: Assignment::Everything };
    let (bus, store, runtime) = (world.bus.clone(), world.store.clone(), world.runtime.clone());
    let consumer = EffectConsumer::new("noting", effect, options, bus, store, runtime);
    let (status, seen) = (consumer.status().clone(), consumer.seen());
    (running(status, |stop| async move { consumer.run(stop).await }), seen)
}

/// The other side of the bus, with a store of its own.
fn other_side(world: &World) -> World {
    World { store: Arc::new(MemoryStore::seeded(2)), ..world.clone() }
}

async fn noted_everything(world: &World, other: &World, faults: &Faults) -> bool {
    loop {
        if faults.take_death() {
            return false;
        }
        if notes(other.store.as_ref()).await == to_be_noted(world.store.as_ref()).await {
            return true;
        }
        tokio::task::yield_now().await;
    }
}

/// One story: messages, a fault somewhere, more messages. Says where the fault was, if the story was long enough.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let (world, _bus) = world();
    let other = other_side(&world);
    let faults = Faults::new(at, fault);
    let relay = world.relay();
    let harmed = faulty(&other, &faults);
    let start = || started(&harmed, Arc::new(Noting(harmed.store.clone()))).0;
    let mut consumer = start();
    let mut expected = [0; COUNTERS];
    for _ in 0..ROUNDS {
        raise_some(world.store.as_ref(), &mut expected).await;
        while !within(noted_everything(&world, &other, &faults)).await {
            consumer.kill().await;
            consumer = start();
        }
    }
    assert_eq!(notes(other.store.as_ref()).await, to_be_noted(world.store.as_ref()).await);
    consumer.kill().await;
    relay.stop().await.unwrap();
    faults.site()
}

#[tokio::test]
async fn effects_killed_anywhere() {
    let sites = [
        ("store.claim_progress", 1),
        ("store.append", 1),
        ("store.advance_progress", 1),
        ("bus.consumer", 1),
        ("consumer.seek", 1),
    ];
    killed_anywhere(&sites, story).await;
}

#[tokio::test]
async fn a_twin_takes_over_and_the_older_one_stands_down() {
    let (world, _bus) = world();
    let other = other_side(&world);
    let relay = world.relay();
    let start = || started(&other, Arc::new(Noting(other.store.clone()))).0;
    let mut expected = [0; COUNTERS];
    let mut first = start();
    first.status.shows(|report| report.state == LoopState::Live).await;
    let second = start();
    second.status.shows(|report| report.state == LoopState::Live).await;
    raise_some(world.store.as_ref(), &mut expected).await;
    within(noted_everything(&world, &other, &Faults::none())).await;
    let end = first.ended().await;
    assert!(matches!(end, Err(ConsumerEnd::StoodDown)), "{end:?}");
    raise_some(world.store.as_ref(), &mut expected).await;
    within(noted_everything(&world, &other, &Faults::none())).await;
    second.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn who_was_displaced_while_it_could_not_work_does_not_come_back() {
    let (world, _bus) = world();
    let other = other_side(&world);
    let relay = world.relay();
    let faults = Faults::none();
    let harmed = faulty(&other, &faults);
    let mut expected = [0; COUNTERS];
    raise_some(world.store.as_ref(), &mut expected).await;
    let mut first = started(&harmed, Arc::new(Noting(other.store.clone()))).0;
    within(noted_everything(&world, &other, &Faults::none())).await;
    first.status.shows(|report| report.state == LoopState::Live).await;
    faults.bus_is_down(true);
    raise_some(world.store.as_ref(), &mut expected).await;
    first.status.shows(|report| report.state == LoopState::BackingOff).await;

    let second = started(&other, Arc::new(Noting(other.store.clone()))).0;
    within(noted_everything(&world, &other, &Faults::none())).await;
    faults.bus_is_down(false);
    let end = first.ended().await;
    assert!(matches!(end, Err(ConsumerEnd::StoodDown)), "{end:?}");
    raise_some(world.store.as_ref(), &mut expected).await;
    within(noted_everything(&world, &other, &Faults::none())).await;
    second.stop().await.unwrap();
    relay.stop().await.unwrap();
}

/// Tells when each message is begun, and waits before it ends.
struct Watching {
    begun: Mutex<Vec<(String, u64)>>,
    gates: Semaphore,
    busy: Mutex<BTreeSet<String>>,
}

impl Watching {
    fn new(open: usize) -> Arc<Self> {
        Arc::new(Self { begun: Mutex::default(), gates: Semaphore::new(open), busy: Mutex::default() })
    }

    fn begun(&self) -> usize {
        self.begun.lock().unwrap().len()
    }
}

impl Effect for Watching {
    fn take<'a>(
        &'a self,
        _: &'a TopicPartition,
        _: &'a Record,
        message: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move {
            let stream = message.stream.to_string();
            self.begun.lock().unwrap().push((stream.clone(), message.position.get()));
            assert!(self.busy.lock().unwrap().insert(stream.clone()), "{stream} is worked on twice at once");
            self.gates.acquire().await.unwrap().forget();
            self.busy.lock().unwrap().remove(&stream);
            Ok(())
        })
    }
}

/// Two counters of one partition.
fn neighbours() -> (u64, u64) {
    let other = (1..).find(|other| partition_of(*other) == partition_of(0)).unwrap();
    (0, other)
}

#[tokio::test]
async fn keys_are_worked_on_at_once_and_one_key_in_order() {
    let (world, _bus) = world();
    let other = other_side(&world);
    let (one, two) = neighbours();
    let mut positions = Vec::new();
    for counter in [one, one, one, two, two] {
        positions.push(raise(world.store.as_ref(), counter, 1).await.get());
    }
    let relay = world.relay();
    relay.status.shows(|report| report.processed == 5).await;
    let watching = Watching::new(0);
    let (consumer, seen) = started(&other, watching.clone());
    // Both keys, although neither is done; nothing behind them.
    eventually(|| (watching.begun() >= 2).then_some(()), || "two keys are begun".to_owned()).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(watching.begun(), 2);
    assert!(!seen.borrow().start, "what was there at the start is not dealt with");
    watching.gates.add_permits(4);
    eventually(|| (watching.begun() == 5).then_some(()), || "all are begun".to_owned()).await;
    assert!(!seen.borrow().start);
    watching.gates.add_permits(1);
    within(async { seen.clone().wait_for(|seen| seen.start).await.map(drop).unwrap() }).await;
    let begun = watching.begun.lock().unwrap().clone();
    let begun = &begun;
    let of =
        |counter: u64| begun.iter().filter(move |(name, _)| *name == format!("counter-{counter}")).map(|(_, at)| *at);
    assert_eq!(of(one).collect::<Vec<_>>(), positions[..3]);
    assert_eq!(of(two).collect::<Vec<_>>(), positions[3..]);
    consumer.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_taken_in_is_not_told_again_after_a_restart() {
    let (world, _bus) = world();
    let other = other_side(&world);
    let mut expected = [0; COUNTERS];
    raise_some(world.store.as_ref(), &mut expected).await;
    let relay = world.relay();
    relay.status.shows(|report| report.processed == COUNTERS as u64).await;
    let first = Watching::new(COUNTERS);
    let (consumer, seen) = started(&other, first.clone());
    within(async { seen.clone().wait_for(|seen| seen.start).await.map(drop).unwrap() }).await;
    consumer.stop().await.unwrap();

    raise(world.store.as_ref(), 0, 1).await;
    relay.status.shows(|report| report.processed == COUNTERS as u64 + 1).await;
    let second = Watching::new(1);
    let (consumer, seen) = started(&other, second.clone());
    within(async { seen.clone().wait_for(|seen| seen.start).await.map(drop).unwrap() }).await;
    assert_eq!(second.begun(), 1);
    consumer.stop().await.unwrap();

    // The own store as it was before anything was taken in, with the progress of afterwards: all is told again.
    let restored = World { store: Arc::new(testing::FaultyStore::new(&other.store).named(elsewhere(&other))), ..other };
    let third = Watching::new(COUNTERS + 1);
    let (consumer, seen) = started(&restored, third.clone());
    within(async { seen.clone().wait_for(|seen| seen.start).await.map(drop).unwrap() }).await;
    assert_eq!(third.begun(), COUNTERS + 1);
    consumer.stop().await.unwrap();
    relay.stop().await.unwrap();
}

/// Where an operator chose that appends need not wait for their sync, progress was durable before the effects: a power
/// cut would have taken them, and nobody would have told them again.
#[tokio::test]
async fn progress_is_not_written_down_before_its_effects_are_synced() {
    let (world, _bus) = world();
    let directory = tempfile::tempdir().unwrap();
    let lazy = EngineOptions::default().durability(Durability::Interval(Duration::from_secs(60)));
    let other = World { store: Arc::new(EngineStore::open(directory.path(), lazy).unwrap()), ..world.clone() };
    let progress = async |store: &dyn EventStore| store.progress(&format!("noting/{TOPIC}")).await.unwrap().value;
    let relay = world.relay();
    raise(world.store.as_ref(), 1, 1).await;
    relay.status.shows(|report| report.processed == 1).await;
    let (consumer, seen) = started(&other, Arc::new(Noting(other.store.clone())));
    within(async { seen.clone().wait_for(|seen| seen.start).await.map(drop).unwrap() }).await;
    consumer.stop().await.unwrap();
    let heads = other.store.heads().await.unwrap();
    assert!(heads.synced < heads.written, "{heads:?}");
    assert_eq!(progress(other.store.as_ref()).await, None);

    other.store.close().await.unwrap();
    let other =
        World { store: Arc::new(EngineStore::open(directory.path(), EngineOptions::default()).unwrap()), ..world };
    let (consumer, seen) = started(&other, Arc::new(Noting(other.store.clone())));
    within(async { seen.clone().wait_for(|seen| seen.start).await.map(drop).unwrap() }).await;
    consumer.stop().await.unwrap();
    assert!(progress(other.store.as_ref()).await.is_some());
    assert_eq!(other.store.heads().await.unwrap().written.get(), 1, "told again, it changed nothing");
    relay.stop().await.unwrap();
}

/// The identity of a store after a restore.
fn elsewhere(world: &World) -> factum::store::Identity {
    let identity = world.store.identity().clone();
    let incarnation = factum::model::Incarnation::from_uuid(uuid::Uuid::from_u128(77));
    factum::store::Identity { incarnation, ..identity }
}
