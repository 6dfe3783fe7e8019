//! Where a loop is told what to do about what it has parked.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{
    Quarantine,
    gate::{Gate, Held},
    ward::ReadModelWard,
};
use crate::{model::ProjectionKey, read::Epoch, store::StoreError};

/// How many requests wait for one loop at most.
pub(super) const REQUESTS_MAX: usize = 16;

/// What became of a key's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Handled {
    /// How many messages are parked no longer: applied, or dropped because they were discarded.
    pub done: u64,
    /// How many are still parked.
    pub left: u64,
    /// Why the first of those failed again.
    pub failed: Option<String>,
}

/// What a loop is to do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try its messages again.
    Retry,
    /// Drop its first message if that was discarded.
    DropDiscarded,
}

/// A request to a loop.
pub(crate) struct Request {
    pub(crate) key: String,
    pub(crate) action: Action,
    pub(crate) reply: oneshot::Sender<Result<Handled, String>>,
}

/// A loop's end of the line. Without a [`Quarantine`] nobody ever asks for anything, and nothing was discarded.
pub(crate) struct Desk {
    projection: ProjectionKey,
    /// Known there as long as this desk is there.
    hub: Option<(Arc<Quarantine>, Arc<ReadModelWard>, Gate)>,
    requests: Option<Mutex<mpsc::Receiver<Request>>>,
}

impl Desk {
    pub(crate) const fn alone(projection: ProjectionKey) -> Self {
        Self { projection, hub: None, requests: None }
    }

    pub(super) const fn open(
        projection: ProjectionKey,
        hub: (Arc<Quarantine>, Arc<ReadModelWard>, Gate),
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        Self { projection, hub: Some(hub), requests: Some(Mutex::const_new(requests)) }
    }

    /// Waits for what is asked next. Dropping the future loses nothing.
    pub(crate) async fn request(&self) -> Request {
        if let Some(requests) = &self.requests
            && let Some(request) = requests.lock().await.recv().await
        {
            return request;
        }
        std::future::pending().await
    }

    /// What of the projection was discarded, to go by in one transaction: no discard is recorded until this is dropped.
    pub(crate) async fn hold(&self) -> Result<Held, StoreError> {
        match &self.hub {
            Some((hub, _, gate)) => gate.hold(|| Box::pin(hub.discards(self.projection.name))).await,
            None => Ok(Held::nothing()),
        }
    }

    /// The same, read again: by whoever has just claimed the projection, or does what was decided.
    pub(crate) async fn hold_anew(&self, epoch: Epoch) -> Result<Held, StoreError> {
        match &self.hub {
            Some((hub, ward, gate)) => {
                ward.claimed(epoch);
                gate.hold_anew(|| Box::pin(hub.discards(self.projection.name))).await
            }
            None => Ok(Held::nothing()),
        }
    }
}
