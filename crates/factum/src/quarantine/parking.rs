//! What a loop has parked: taken over at its start, and dealt with as operators decide.

use std::sync::Arc;

use super::{Changes, Desk, Held, Request, Retry, Shelf, take_over};
use crate::{
    projections::{DynProjection, Watermarks},
    read::{Epoch, ReadError, ReadStore},
    runtime::{Runtime, Status, TaskFailure},
    store::StoreError,
};

/// What a loop lends for it.
pub(crate) struct Parts<'a> {
    pub(crate) desk: &'a Desk,
    pub(crate) projection: &'a Arc<DynProjection>,
    pub(crate) read_store: &'a Arc<dyn ReadStore>,
    pub(crate) watermarks: &'a Watermarks,
    pub(crate) runtime: &'a Runtime,
    pub(crate) status: &'a Status,
}

/// What is parked.
pub(crate) struct Parking {
    pub(crate) shelf: Shelf,
}

impl Parking {
    /// What is parked, without what was discarded since.
    pub(crate) async fn take_over<E>(parts: &Parts<'_>, epoch: Epoch) -> Result<Self, E>
    where
        E: From<StoreError> + From<ReadError> + From<TaskFailure>,
    {
        let held = parts.desk.hold_anew(epoch).await?;
        let retry = parts.retry(epoch, held);
        let shelf = parts.runtime.blocking(move || take_over(&retry)).await??;
        parts.watermarks.set_parked(parts.projection.key(), shelf.places());
        shelf.show(parts.status);
        Ok(Self { shelf })
    }

    /// Does what an operator decided. After an error it must be taken over anew.
    pub(crate) async fn carry_out<E>(&mut self, request: Request, parts: &Parts<'_>, epoch: Epoch) -> Result<(), E>
    where
        E: From<StoreError> + From<ReadError> + From<TaskFailure>,
    {
        let Request { key, action, reply } = request;
        let retry = parts.retry(epoch, parts.desk.hold_anew(epoch).await?);
        let mut shelf = self.take_shelf();
        let work = move || {
            let done = retry.carry_out(&mut shelf, &key, action);
            // What was decided meanwhile may be recorded now.
            drop(retry);
            (shelf, done)
        };
        let (shelf, done) = parts.runtime.blocking(work).await?;
        self.shelf = shelf;
        let (handled, changes) = done?;
        self.show(changes, parts);
        // Who asked may have left.
        let _ = reply.send(Ok(handled));
        Ok(())
    }

    /// The shelf, for work on another thread: to be given back, or all of it to be taken over anew.
    pub(crate) fn take_shelf(&mut self) -> Shelf {
        let projection = self.shelf.projection;
        std::mem::replace(&mut self.shelf, Shelf::empty(projection))
    }

    /// Shows what changed: to be called before whoever waits for a message learns that its watermark has passed it.
    pub(crate) fn show(&self, changes: Changes, parts: &Parts<'_>) {
        if !changes.is_empty() {
            parts.watermarks.parked(self.shelf.projection, changes);
            self.shelf.show(parts.status);
        }
    }
}

impl Parts<'_> {
    fn retry(&self, epoch: Epoch, held: Held) -> Retry {
        let (read_store, projection) = (Arc::clone(self.read_store), Arc::clone(self.projection));
        Retry { read_store, projection, epoch, held, now: self.runtime.now() }
    }
}
