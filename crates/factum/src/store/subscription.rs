//! Ordered delivery from a position: catches up, then live.

use std::sync::Arc;

use factum_engine::{Direction, Position};

use super::{Batch, EventStore, Selection, StoreError};

/// Ordered delivery from a position on: what is there first, then what comes, without polling where the store can
/// wake. Reads only up to the synced head, so nothing it delivers is ever taken back.
///
/// One implementation for every store, on [`EventStore::read`] and [`EventStore::synced_beyond`].
pub struct Subscription {
    store: Arc<dyn EventStore>,
    selection: Selection,
    after: Position,
}

impl Subscription {
    /// Subscribes to what lies after a position.
    pub fn new(store: Arc<dyn EventStore>, selection: Selection, after: Position) -> Self {
        Self { store, selection, after }
    }

    /// Up to where delivery got.
    pub const fn position(&self) -> Position {
        self.after
    }

    /// The next events, at least one considered; waits until there is something. Of a narrow selection a batch may be
    /// empty: its [`Batch::read_to`] tells how much was passed over. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The store failed or was closed; the next call goes on where this one was.
    pub async fn next(&mut self, limit: usize) -> Result<Batch, StoreError> {
        loop {
            let batch = self.store.read(&self.selection, self.after, Direction::Forward, limit).await?;
            if batch.read_to > self.after {
                self.after = batch.read_to;
                return Ok(batch);
            }
            self.store.synced_beyond(self.after).await?;
        }
    }
}
