//! The next events of the own store, read while those before them are applied.

use crate::{
    runtime::meanwhile,
    store::{Batch, RecordedEvent, StoreError, Subscription},
};

/// The most bytes of documents of one batch, and as many ahead of it; a single page of the store may exceed it.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// A subscription that may be one batch ahead of its loop.
pub(super) struct ReadAhead {
    subscription: Subscription,
    gathered: Gathered,
    /// The last batch was not all there was. Once it is, what comes while it is applied is better taken together.
    behind: bool,
}

/// Events read that nobody took yet.
#[derive(Default)]
struct Gathered {
    batch: Option<Batch>,
    bytes: usize,
}

impl ReadAhead {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self { subscription, gathered: Gathered::default(), behind: false }
    }

    /// The next events, at most `limit`, unless more were read ahead. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The store failed or was closed.
    pub(super) async fn next(&mut self, limit: usize) -> Result<Batch, StoreError> {
        loop {
            self.gather(limit).await?;
            if let Some(batch) = std::mem::take(&mut self.gathered).batch {
                self.behind = !batch.end;
                return Ok(batch);
            }
        }
    }

    /// Waits for work on what came last, and reads what comes next meanwhile, when more is there already.
    pub(super) async fn during<T>(&mut self, limit: usize, work: impl Future<Output = T>) -> T {
        if !self.behind {
            return work.await;
        }
        // What fails now fails again when it is its turn.
        let (done, _) = meanwhile(work, self.gather(limit)).await;
        done
    }

    /// Reads page by page, until there are enough events or nothing more is there.
    async fn gather(&mut self, limit: usize) -> Result<(), StoreError> {
        while let Some(room) = self.gathered.room(limit) {
            self.gathered.add(self.subscription.next(room).await?);
        }
        Ok(())
    }
}

impl Gathered {
    /// How many more events may come to these; `None` when they are to be taken as they are.
    fn room(&self, limit: usize) -> Option<usize> {
        let Some(batch) = &self.batch else { return Some(limit) };
        let room = limit.saturating_sub(batch.events.len());
        (!batch.end && room > 0 && self.bytes < BATCH_BYTES_MAX).then_some(room)
    }

    fn add(&mut self, page: Batch) {
        self.bytes += page.events.iter().map(|event: &RecordedEvent| event.data.len()).sum::<usize>();
        match &mut self.batch {
            None => self.batch = Some(page),
            Some(batch) => {
                batch.events.extend(page.events);
                (batch.read_to, batch.end) = (page.read_to, page.end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::{
        model::{ActorId, CorrelationId, EventId},
        store::{
            Append, EventStore, ExpectedVersion, MemoryStore, Metadata, NewEvent, Position, Selection, StreamName,
        },
        testing::NOW,
    };

    async fn append(store: &MemoryStore, events: u128) {
        let metadata = Metadata {
            correlation_id: CorrelationId::from_uuid(Uuid::from_u128(1)),
            causation_id: None,
            actor: ActorId::anonymous(),
            bus_command: None,
        };
        let after = u128::from(store.heads().await.unwrap().synced.get());
        let event = |number: u128| NewEvent {
            id: EventId::from_uuid(Uuid::from_u128(after + number)),
            name: "counter.raised".into(),
            schema: 1,
            tags: Vec::new(),
            data: b"{}".to_vec(),
        };
        let (stream, events) = (StreamName::new("counter-1").unwrap(), (1..=events).map(event).collect());
        store.append(Append::new(metadata, NOW).stream(stream, ExpectedVersion::Any, events)).await.unwrap();
    }

    async fn store_of(events: u128) -> (MemoryStore, ReadAhead) {
        let store = MemoryStore::seeded(1);
        append(&store, events).await;
        let subscription = Subscription::new(Arc::new(store.clone()), Selection::everything(), Position::ZERO);
        (store, ReadAhead::new(subscription))
    }

    async fn next(events: &mut ReadAhead, limit: usize) -> Vec<u64> {
        events.next(limit).await.unwrap().events.iter().map(|event| event.position.get()).collect()
    }

    #[tokio::test]
    async fn what_comes_next_is_read_while_a_batch_is_applied() {
        let (store, mut events) = store_of(5).await;
        assert_eq!(next(&mut events, 2).await, [1, 2]);
        // From now on nothing more can be read.
        events.during(2, async { tokio::task::yield_now().await }).await;
        store.close().await.unwrap();
        assert_eq!(next(&mut events, 2).await, [3, 4]);
        events.during(2, tokio::task::yield_now()).await;
        assert!(matches!(events.next(2).await, Err(StoreError::Closed)));
    }

    #[tokio::test]
    async fn what_comes_while_the_last_batch_is_applied_is_taken_together() {
        let (store, mut events) = store_of(2).await;
        assert_eq!(next(&mut events, 5).await, [1, 2]);
        let three_appends = async {
            for _ in 0..3 {
                append(&store, 1).await;
                tokio::task::yield_now().await;
            }
        };
        events.during(5, three_appends).await;
        assert_eq!(next(&mut events, 5).await, [3, 4, 5]);
    }

    #[tokio::test]
    async fn pages_are_put_together_up_to_a_number_of_events_and_of_bytes() {
        let (_store, mut events) = store_of(3).await;
        let page = |read_to| Batch { read_to: Position::new(read_to), end: false, events: Vec::new() };
        let mut of_events = Gathered::default();
        assert_eq!(of_events.room(3), Some(3));
        of_events.add(Batch { end: false, ..events.next(2).await.unwrap() });
        assert_eq!(of_events.room(3), Some(1));
        assert_eq!(of_events.room(2), None);
        of_events.add(Batch { end: true, ..page(4) });
        assert_eq!(of_events.room(3), None, "nothing more is there");
        let mut of_bytes = Gathered { batch: Some(page(1)), bytes: BATCH_BYTES_MAX - 1 };
        assert_eq!(of_bytes.room(3), Some(3));
        of_bytes.add(Batch { end: false, ..events.next(1).await.unwrap() });
        assert_eq!(of_bytes.room(3), None);
    }
}
