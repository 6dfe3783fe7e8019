//! Two of what there must be one: relays of one store, projections of one read database, while events come.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use factum::{
    ActorId, Delivery, Event, EventId, Message, MessageType, Projection, Service,
    bus::{Assignment, Bus, BusEvent, ConsumerOptions, Envelope, TopicPartition},
    model::CorrelationId,
    read::{Key, KeyRange, MemoryReadStore, ReadError, ReadStore, ReadTransaction, Table},
    relay::{OutgoingMessage, Publication},
    runtime::LoopState,
    store::{Append, EventStore, ExpectedVersion, MemoryStore, Metadata, NewEvent, StreamName},
    testing,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::broker::{broker, bus, prefix};

const TOPIC: &str = "shop.counters.counter.events";
const PARTITIONS: u32 = 3;
const COUNTERS: u64 = 5;
/// How many events come before a twin does, and how many while it is there.
const EVENTS: u64 = 200;
const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Raised {
    by: u64,
}

#[derive(Clone, Debug, PartialEq, Event)]
enum CounterEvent {
    #[factum(name = "counter.raised")]
    Raised(Raised),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "shop.counters.raised.v1")]
struct CounterRaised {
    by: u64,
}

struct Counters;

impl Publication for Counters {
    const TOPIC: &'static str = TOPIC;
    const PARTITIONS: u32 = PARTITIONS;
    const MESSAGES: &'static [MessageType] = &[MessageType::of::<CounterRaised>()];
    type Event = CounterEvent;

    fn translate(event: &CounterEvent, _: &Delivery) -> Option<OutgoingMessage> {
        let CounterEvent::Raised(Raised { by }) = event;
        Some(Self::outgoing(&CounterRaised { by: *by }))
    }
}

#[derive(Clone, Debug, PartialEq, Event)]
enum CounterMessage {
    #[factum(name = "shop.counters.raised.v1")]
    Raised(Raised),
}

/// The position of every message folded in, in the order in which it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Folded {
    positions: Vec<u64>,
}

#[derive(Default)]
struct Totals;

const FOLDED: Table<Folded> = Table::of::<Totals>("folded");

impl Projection for Totals {
    const NAME: &'static str = "totals";
    const VERSION: u32 = 1;
    type Event = CounterMessage;

    fn project(&self, _: &CounterMessage, delivery: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let key = Key::from(delivery.stream.as_str());
        let mut folded = FOLDED.get(tx, &key)?.unwrap_or_default();
        folded.positions.push(delivery.position.get());
        FOLDED.put(tx, &key, &folded)
    }
}

/// A store, a read database, and topics of their own.
struct World {
    broker: String,
    prefix: String,
    store: Arc<dyn EventStore>,
    read_store: Arc<dyn ReadStore>,
}

impl World {
    fn on(broker: String) -> Self {
        let (store, read_store) = (Arc::new(MemoryStore::new()), Arc::new(MemoryReadStore::default()));
        Self { broker, prefix: prefix(), store, read_store }
    }

    /// A bus as a process of its own would have it.
    fn bus(&self) -> Arc<dyn Bus> {
        bus(&self.broker, &self.prefix)
    }

    async fn publisher(&self) -> Service {
        let builder = Service::builder("shop", "counters").store(self.store.clone()).bus(self.bus());
        builder.publishes::<Counters>().start().await.unwrap()
    }

    async fn reader(&self) -> Service {
        let builder = Service::builder("shop", "totals").read_store(self.read_store.clone()).bus(self.bus());
        builder.consumes::<Totals>(&[TOPIC]).start().await.unwrap()
    }

    async fn raise(&self) {
        for number in 0..EVENTS {
            let event = CounterEvent::Raised(Raised { by: 1 });
            let mut data = Vec::new();
            event.encode(&mut data);
            let id = EventId::from_uuid(Uuid::new_v4());
            let event = NewEvent { id, name: Cow::Borrowed(event.name()), schema: 1, tags: Vec::new(), data };
            let metadata = Metadata {
                correlation_id: CorrelationId::from_uuid(Uuid::from_u128(7)),
                causation_id: None,
                actor: ActorId::system(),
                bus_command: None,
            };
            let stream = StreamName::new(format!("counter-{}", number % COUNTERS)).unwrap();
            let append = Append::new(metadata, testing::NOW).stream(stream, ExpectedVersion::Any, vec![event]);
            self.store.append(append).await.unwrap();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until as many messages were folded in; each once, each counter's in order.
    async fn folds(&self, events: u64) {
        eventually("everything is folded in", || self.folded().iter().flatten().count() as u64 >= events).await;
        let folded = self.folded();
        assert_eq!(folded.len() as u64, COUNTERS);
        assert_eq!(folded.iter().flatten().count() as u64, events, "some twice: {folded:?}");
        assert!(folded.iter().all(|positions| positions.is_sorted()), "out of order: {folded:?}");
    }

    fn folded(&self) -> Vec<Vec<u64>> {
        let mut all = Vec::new();
        let read = self.read_store.read(&mut |read| {
            let page = FOLDED.page(read, &KeyRange::all(), 1_000)?;
            all = page.documents.into_iter().map(|folded: Folded| folded.positions).collect();
            Ok(())
        });
        // Before the first message there is no table.
        read.map_or_else(|_| Vec::new(), |()| all)
    }

    /// Every message names the one before it, whatever was sent twice; how many were.
    async fn is_whole(&self, events: u64) -> u64 {
        let options = ConsumerOptions {
            group: "look".to_owned(),
            topics: vec![TOPIC.into()],
            assignment: Assignment::Everything,
        };
        let bus = self.bus();
        let mut reader = bus.consumer(options).await.unwrap();
        let (mut last, mut fresh, mut again) = (HashMap::<TopicPartition, u64>::new(), 0, 0);
        while fresh < events {
            match tokio::time::timeout(WITHIN, reader.next()).await.expect("the topic has everything").unwrap() {
                BusEvent::Assigned(partitions) => {
                    for partition in partitions {
                        let earliest = reader.earliest(&partition).await.unwrap();
                        reader.seek(&partition, earliest).await.unwrap();
                    }
                }
                BusEvent::Records(partition, records) => {
                    let last = last.entry(partition).or_default();
                    for record in records {
                        let Envelope { previous, position, .. } =
                            Envelope::decode(&record.headers, &record.value).unwrap();
                        if position.get() <= *last {
                            again += 1;
                            continue;
                        }
                        assert!(previous.get() <= *last, "a hole: {position} names {previous}, before it is {last}");
                        (*last, fresh) = (position.get(), fresh + 1);
                    }
                }
                BusEvent::Revoked(..) => panic!("nobody takes them"),
            }
        }
        again
    }
}

async fn eventually(story: &str, mut looked: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !looked() {
        assert!(begun.elapsed() < WITHIN, "never: {story}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The older of two stands down, the other works on.
async fn stands_down(older: &Service, newer: &Service) {
    let is = |service: &Service, state| service.health().loops().iter().any(|(_, report)| report.state == state);
    eventually("the older one stands down", || is(older, LoopState::StoodDown)).await;
    assert!(!is(newer, LoopState::StoodDown), "both stand down");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_twin_relay_alive() {
    let Some(broker) = broker("on_kafka_twin_relay_alive") else { return };
    let world = World::on(broker);
    let _reader = world.reader().await;
    let older = world.publisher().await;
    world.raise().await;
    world.folds(EVENTS).await;
    let (newer, ()) = tokio::join!(world.publisher(), world.raise());
    world.raise().await;
    stands_down(&older, &newer).await;
    world.folds(3 * EVENTS).await;
    println!("{} messages were sent again", world.is_whole(3 * EVENTS).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_twin_consumer_alive() {
    let Some(broker) = broker("on_kafka_twin_consumer_alive") else { return };
    let world = World::on(broker);
    let _publisher = world.publisher().await;
    let older = world.reader().await;
    world.raise().await;
    world.folds(EVENTS).await;
    let (newer, ()) = tokio::join!(world.reader(), world.raise());
    world.raise().await;
    stands_down(&older, &newer).await;
    world.folds(3 * EVENTS).await;
}
