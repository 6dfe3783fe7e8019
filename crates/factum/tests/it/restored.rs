//! Stores as they come back from a backup, and buses as they were.

use std::sync::Arc;

use factum::{
    CommandId,
    bus::{Bus, MemoryBus, NewRecord, Record, TopicSpec},
    model::Incarnation,
    read::Epoch,
    store::{
        Append, AppendError, Batch, BoxFuture, Direction, EventStore, ExpectedVersion, Fork, Heads, Identity,
        KnownCommand, MemoryStore, NewEvent, Position, Progress, ProgressError, Receipt, Selection, StoreError,
        StreamName, Version,
    },
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
    Arc::new(Named { inner: Arc::new(inner), identity })
}

/// A store under an identity of its own.
pub struct Named {
    pub inner: Arc<dyn EventStore>,
    pub identity: Identity,
}

impl EventStore for Named {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt, AppendError>> {
        self.inner.append(append)
    }

    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        self.inner.read_stream(stream, from, direction, limit)
    }

    fn read<'a>(
        &'a self,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        self.inner.read(selection, after, direction, limit)
    }

    fn command(&self, id: CommandId) -> BoxFuture<'_, Result<Option<KnownCommand>, StoreError>> {
        self.inner.command(id)
    }

    fn heads(&self) -> BoxFuture<'_, Result<Heads, StoreError>> {
        self.inner.heads()
    }

    fn synced_beyond(&self, after: Position) -> BoxFuture<'_, Result<Position, StoreError>> {
        self.inner.synced_beyond(after)
    }

    fn progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        self.inner.progress(name)
    }

    fn claim_progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        self.inner.claim_progress(name)
    }

    fn advance_progress<'a>(
        &'a self,
        name: &'a str,
        epoch: Epoch,
        previous: Option<&'a [u8]>,
        next: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ProgressError>> {
        self.inner.advance_progress(name, epoch, previous, next)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.close()
    }
}
