//! A small system for the tests of relay, bus and consumer: counters are raised in one service, and another one keeps
//! their totals.

use std::{
    borrow::Cow,
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use factum::{
    ActorId, Delivery, Event, EventId, Message, MessageType, Projection, Timestamp,
    bus::{Assignment, Bus, ConsumerOptions, Envelope, LocalBus, LocalBusOptions, MemoryBus, Record, TopicPartition},
    consumer::{ConsumerEnd, ProjectionConsumer},
    model::CorrelationId,
    projections::{self, DynProjection, Watermarks},
    quarantine::Quarantine,
    read::{Key, KeyRange, MemoryReadStore, ReadError, ReadStore, ReadTransaction, Table},
    relay::{self, LOOK_EVERY, OutgoingMessage, Publication, Relay, RelayEnd},
    runtime::{Driver, LoopState, ManualClock, Runtime, Status, Stop, Stopper, Task},
    store::{
        Append, BoxFuture, EngineOptions, EngineStore, EventStore, ExpectedVersion, MemoryStore, Metadata, NewEvent,
        Position, StreamName,
    },
    testing,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How long a test waits for something that should happen at once.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long to wait between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// The topic of the counters.
pub const TOPIC: &str = "shop.counters.counter.events";
/// Its partitions.
pub const PARTITIONS: u32 = 3;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    pub by: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Polished {}

/// What happens to counters; polishing them is nobody else's business.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum CounterEvent {
    #[factum(name = "counter.raised")]
    Raised(Raised),
    #[factum(name = "counter.polished")]
    Polished(Polished),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "shop.counters.raised.v1")]
struct CounterRaised {
    by: u64,
}

pub struct Counters;

impl Publication for Counters {
    const TOPIC: &'static str = TOPIC;
    const PARTITIONS: u32 = PARTITIONS;
    const MESSAGES: &'static [MessageType] = &[MessageType::of::<CounterRaised>()];
    type Event = CounterEvent;

    fn translate(event: &CounterEvent, _: &Delivery) -> Option<OutgoingMessage> {
        match event {
            CounterEvent::Raised(Raised { by }) => Some(Self::outgoing(&CounterRaised { by: *by })),
            CounterEvent::Polished(_) => None,
        }
    }
}

/// What the other service makes of the message.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum CounterMessage {
    #[factum(name = "shop.counters.raised.v1")]
    Raised(Raised),
}

/// A counter as the other service sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Total {
    pub total: u64,
    /// The position of every message folded in, in the order in which it was: shows what came twice or out of order.
    pub positions: Vec<u64>,
}

/// A raise by this much is more than the projection can take.
pub const POISON: u64 = 666;

#[derive(Default)]
pub struct Totals;

pub const TOTALS: Table<Total> = Table::of::<Totals>("totals");

impl Projection for Totals {
    const NAME: &'static str = "totals";
    const VERSION: u32 = 1;
    type Event = CounterMessage;

    fn project(
        &self,
        event: &CounterMessage,
        delivery: &Delivery,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), ReadError> {
        let CounterMessage::Raised(Raised { by }) = event;
        if *by == POISON {
            return Err(ReadError::Broken("more than a counter can bear".to_owned()));
        }
        let key = Key::from(delivery.stream.as_str());
        let mut total = TOTALS.get(tx, &key)?.unwrap_or_default();
        total.total += by;
        total.positions.push(delivery.position.get());
        TOTALS.put(tx, &key, &total)
    }
}

/// A runtime on which a wait is over at once, and no time passes but what was waited for. But for the look that a relay
/// takes now and then: one with nothing to do would do nothing else.
pub fn impatient() -> Runtime {
    struct Impatient(ManualClock);
    impl Driver for Impatient {
        fn now(&self) -> Timestamp {
            self.0.now()
        }

        fn random(&self) -> u64 {
            self.0.random()
        }

        fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
            self.0.spawn(task)
        }

        fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
            let clock = self.0.clone();
            if duration == LOOK_EVERY {
                return Box::pin(std::future::pending());
            }
            Box::pin(async move {
                tokio::task::yield_now().await;
                clock.advance(duration);
            })
        }

        fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
            self.0.blocking(work)
        }
    }
    Runtime::new(Arc::new(Impatient(Runtime::manual(1).1)))
}

/// Every counter with its total, in the order of their names.
pub fn totals(read_store: &dyn ReadStore) -> Vec<Total> {
    let mut all = Vec::new();
    read_store
        .read(&mut |read| {
            all = TOTALS.page(read, &KeyRange::all(), 1_000)?.documents;
            Ok(())
        })
        .unwrap();
    all
}

/// The partition of a counter.
pub fn partition_of(counter: u64) -> TopicPartition {
    let key = stream(counter);
    TopicPartition::new(TOPIC, factum::bus::partition_of(key.as_str().as_bytes(), PARTITIONS))
}

/// Every partition of the topic.
pub fn partitions() -> impl Iterator<Item = TopicPartition> {
    (0..PARTITIONS).map(|partition| TopicPartition::new(TOPIC, partition))
}

fn stream(counter: u64) -> StreamName {
    StreamName::new(format!("counter-{counter}")).unwrap()
}

/// Appends one event to a counter.
pub async fn append(store: &dyn EventStore, counter: u64, event: CounterEvent) -> Position {
    let mut data = Vec::new();
    event.encode(&mut data);
    let head = store.heads().await.unwrap().synced;
    let id = Uuid::new_v5(&store.identity().incarnation.as_uuid(), &head.get().to_be_bytes());
    let event =
        NewEvent { id: EventId::from_uuid(id), name: Cow::Borrowed(event.name()), schema: 1, tags: Vec::new(), data };
    let metadata = Metadata {
        correlation_id: CorrelationId::from_uuid(Uuid::from_u128(7)),
        causation_id: None,
        actor: ActorId::system(),
        bus_command: None,
    };
    let append = Append::new(metadata, testing::NOW).stream(stream(counter), ExpectedVersion::Any, vec![event]);
    store.append(append).await.unwrap().last
}

/// Raises a counter.
pub async fn raise(store: &dyn EventStore, counter: u64, by: u64) -> Position {
    append(store, counter, CounterEvent::Raised(Raised { by })).await
}

/// Appends this much, and looks at nothing else.
pub async fn raise_some(store: &dyn EventStore, expected: &mut [u64]) {
    for (counter, total) in (0..).zip(expected) {
        let by = 1 + *total + counter;
        raise(store, counter, by).await;
        append(store, counter, CounterEvent::Polished(Polished {})).await;
        *total += by;
    }
}

/// The group of its consumer, where partitions are divided.
pub const GROUP: &str = "totals";

/// Two services and the bus between them; each part can be replaced.
#[derive(Clone)]
pub struct World {
    pub store: Arc<dyn EventStore>,
    pub bus: Arc<dyn Bus>,
    pub read_store: Arc<dyn ReadStore>,
    pub watermarks: Arc<Watermarks>,
    pub runtime: Runtime,
}

/// A world in memory, with the bus as it can be harmed.
pub fn world() -> (World, MemoryBus) {
    let bus = MemoryBus::new();
    let world = World {
        store: Arc::new(MemoryStore::seeded(1)),
        bus: Arc::new(bus.clone()),
        read_store: Arc::new(MemoryReadStore::default()),
        watermarks: Arc::default(),
        runtime: impatient(),
    };
    (world, bus)
}

/// The same in a directory: what a service has by default. Opened again, it goes on.
pub fn world_on_disk(directory: &Path) -> World {
    World {
        store: Arc::new(EngineStore::open(directory.join("events"), EngineOptions::default()).unwrap()),
        bus: Arc::new(LocalBus::open(directory.join("bus"), LocalBusOptions::default()).unwrap()),
        ..world().0
    }
}

/// A loop at work; dropping it kills it.
pub struct Running<E> {
    pub status: Status,
    stopper: Option<Stopper>,
    task: JoinHandle<Result<(), E>>,
}

impl<E> Running<E> {
    /// Tells it to stop and waits for its end.
    pub async fn stop(mut self) -> Result<(), E> {
        self.stopper.take();
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<(), E> {
        within(&mut self.task).await.unwrap()
    }

    /// Kills it where it is.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = within(&mut self.task).await;
    }
}

impl<E> Drop for Running<E> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    pub fn relay(&self) -> Running<RelayEnd> {
        let (store, bus) = (self.store.clone(), self.bus.clone());
        let relay = Relay::new("shop", "counters", relay::erase::<Counters>(), store, bus, self.runtime.clone());
        let status = relay.status().clone();
        running(status, |stop| async move { relay.run(stop).await })
    }

    pub fn consumer(&self) -> Running<ConsumerEnd> {
        self.consumer_of(projections::erase::<Totals>())
    }

    pub fn consumer_of(&self, projection: DynProjection) -> Running<ConsumerEnd> {
        self.consumer_with(projection, Assignment::Everything)
    }

    /// One whose operators have this at hand.
    pub fn consumer_at(&self, projection: DynProjection, quarantine: &Arc<Quarantine>) -> Running<ConsumerEnd> {
        let consumer = self.new_consumer(projection, Assignment::Everything).quarantine(quarantine);
        running(consumer.status().clone(), |stop| async move { consumer.run(stop).await })
    }

    pub fn consumer_with(&self, projection: DynProjection, assignment: Assignment) -> Running<ConsumerEnd> {
        let consumer = self.new_consumer(projection, assignment);
        running(consumer.status().clone(), |stop| async move { consumer.run(stop).await })
    }

    fn new_consumer(&self, projection: DynProjection, assignment: Assignment) -> ProjectionConsumer {
        let options = ConsumerOptions { group: GROUP.to_owned(), topics: vec![TOPIC.into()], assignment };
        let Self { bus, read_store, watermarks, runtime, .. } = self.clone();
        ProjectionConsumer::new(projection, options, bus, read_store, watermarks, runtime)
    }

    /// A relay publishes everything there is, and stops.
    pub async fn publishes(&self) {
        let relay = self.relay();
        let head = self.store.heads().await.unwrap().synced;
        relay.status.shows(|report| report.position >= head && report.state == LoopState::Live).await;
        relay.stop().await.unwrap();
    }

    /// Waits until the read model shows exactly these totals.
    pub async fn shows(&self, expected: &[u64]) {
        let seen = || totals(self.read_store.as_ref()).iter().map(|total| total.total).collect::<Vec<_>>();
        eventually(|| (seen() == expected).then_some(()), || format!("expected {expected:?}, seen {:?}", seen())).await;
    }

    /// Every counter's messages were folded in once each, and in order.
    pub fn folded_once_and_in_order(&self) {
        for Total { positions, .. } in totals(self.read_store.as_ref()) {
            assert!(positions.is_sorted_by(|a, b| a < b), "twice or out of order: {positions:?}");
        }
    }
}

/// Starts a loop.
pub fn running<E, F>(status: Status, run: impl FnOnce(Stop) -> F) -> Running<E>
where
    E: Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    let (stopper, stop) = Stopper::new();
    Running { status, stopper: Some(stopper), task: tokio::spawn(run(stop)) }
}

/// The message in a record.
pub fn message(record: &Record) -> Envelope {
    Envelope::decode(&record.headers, &record.value).unwrap()
}

/// The result of a future that should be done at once.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_MAX, future).await.expect("it takes too long")
}

/// Waits until `look` finds something.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>, story: impl Fn() -> String) -> T {
    let start = Instant::now();
    for turn in 0.. {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < WAIT_MAX, "{}", story());
        // Mostly a few turns are enough; whoever waits longer leaves the processor to others.
        if turn < 100 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    unreachable!("it is found, or it takes too long")
}
