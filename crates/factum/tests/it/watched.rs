//! What tests of the dispatcher need of a store that is watched.

use factum::{
    EventStore, Position,
    store::{Direction, RecordedEvent, Selection, StoreError},
};

/// A store that is away for a while.
pub fn unavailable() -> StoreError {
    StoreError::Unavailable("gone fishing".into())
}

/// Everything in a store.
pub async fn everything(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let (selection, mut events, mut after) = (Selection::everything(), Vec::new(), Position::ZERO);
    loop {
        let batch = store.read(&selection, after, Direction::Forward, 1_000).await.unwrap();
        after = batch.read_to;
        events.extend(batch.events);
        if batch.end {
            return events;
        }
    }
}
