//! Stores as they come back from a backup, and buses as they were.

use std::sync::Arc;

use factum::{
    bus::{Bus, MemoryBus, NewRecord, Record, TopicSpec},
    model::Incarnation,
    store::{
        Append, Direction, EventStore, ExpectedVersion, Fork, Identity, MemoryStore, NewEvent, Position, Selection,
    },
    testing::FaultyStore,
};

use crate::world::{PARTITIONS, TOPIC, partitions};

pub async fn progress(store: &dyn EventStore) -> Vec<u8> {
    store.progress(&format!("relay/{TOPIC}")).await.unwrap().value.unwrap()
}

pub async fn put_progress(store: &dyn EventStore, value: &[u8]) {
    let name = format!("relay/{TOPIC}");
    let claimed = store.claim_progress(&name).await.unwrap();
    store.advance_progress(&name, claimed.epoch, claimed.value.as_deref(), value).await.unwrap();
}

/// A bus with the same records.
pub async fn copy_bus(from: &MemoryBus) -> MemoryBus {
    let bus = MemoryBus::new();
    bus.ensure_topics(&[TopicSpec::new(TOPIC, PARTITIONS).unwrap()]).await.unwrap();
    let mut producer = bus.producer().await.unwrap();
    for partition in partitions() {
        let records = from.records(&partition).into_iter();
        let records = records.map(|Record { key, headers, value, timestamp, .. }| {
            (partition.clone(), NewRecord { key, headers, value, timestamp })
        });
        producer.produce(records.collect()).await.unwrap();
    }
    bus
}

/// The identity of a store restored at a position.
pub fn forked(identity: &Identity, at: u64) -> Identity {
    let mut forked = identity.clone();
    forked.forks.push(Fork { parent: identity.incarnation, position: Position::new(at) });
    let next = identity.incarnation.derive(&format!("restored at {at}"));
    forked.incarnation = Incarnation::from_uuid(next);
    forked
}

/// A store with the first `events` of another one, and no progress.
pub async fn copy(from: &dyn EventStore, events: u64, identity: Identity) -> Arc<dyn EventStore> {
    let inner = MemoryStore::new();
    let all = from.read(&Selection::everything(), Position::ZERO, Direction::Forward, 10_000).await.unwrap();
    for event in all.events.into_iter().take_while(|event| event.position.get() <= events) {
        let new = NewEvent {
            id: event.id,
            name: event.name.to_string().into(),
            schema: event.schema,
            tags: event.tags,
            data: event.data.to_vec(),
        };
        let append = Append::new(event.metadata, event.recorded_at);
        inner.append(append.stream(event.stream, ExpectedVersion::Any, vec![new])).await.unwrap();
    }
    named(inner, identity)
}

/// A store under an identity of its own.
pub fn named(inner: MemoryStore, identity: Identity) -> Arc<dyn EventStore> {
    let inner: Arc<dyn EventStore> = Arc::new(inner);
    Arc::new(FaultyStore::new(&inner).named(identity))
}
