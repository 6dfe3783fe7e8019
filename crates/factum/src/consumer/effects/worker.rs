//! Works on what came under one key: one record after the other, each again until it is done.

use std::sync::Arc;

use super::{
    Effect, EffectError,
    batch::{Chain, Item},
};
use crate::{
    bus::{Envelope, Record, TopicPartition},
    consumer::end::PartitionStop,
    quarantine::{EventShelf, Incoming, Met, NotParked},
    runtime::{Backoff, Runtime, Status, Stop},
};

/// What working on a key needs.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) effect: Arc<dyn Effect>,
    /// Where what fails for good is parked; none: its partition stands still.
    pub(super) shelf: Option<Arc<EventShelf>>,
    pub(super) runtime: Runtime,
    pub(super) status: Status,
    pub(super) stop: Stop,
}

/// How work on a key ended.
pub(super) enum ChainEnd {
    /// All of it was done, or the record of this index cannot be.
    Ended(TopicPartition, Option<(usize, PartitionStop)>),
    /// Told to stop while something waited to be told again.
    Interrupted,
}

impl Worker {
    pub(super) async fn work(mut self, chain: Chain) -> ChainEnd {
        let Chain { partition, records, items } = chain;
        for item in items {
            let mut backoff = Backoff::default();
            loop {
                let taken = match &item {
                    Item::Message(index, message) => self.take(&partition, &records[*index], message).await,
                    Item::Unreadable(index, error) => {
                        let taken = self.effect.take_unreadable(&partition, &records[*index], error).await;
                        taken.map_err(|error| NotTaken::of(error, PartitionStop::Unreadable))
                    }
                };
                match taken {
                    Ok(()) => break,
                    Err(NotTaken::Never(stop)) => return ChainEnd::Ended(partition, Some((item.index(), stop))),
                    Err(NotTaken::Later(reason)) => {
                        tracing::warn!(consumer = self.status.name(), error = reason, "a message is told again later");
                        self.status.update(|report| report.last_error = Some(reason));
                        let wait = self.runtime.sleep(backoff.next(&self.runtime));
                        if self.stop.unless(wait).await.is_none() {
                            return ChainEnd::Interrupted;
                        }
                    }
                }
            }
        }
        ChainEnd::Ended(partition, None)
    }

    /// Takes in a message, or parks it: when it fails for good, or stands behind one that did.
    async fn take(&self, from: &TopicPartition, record: &Record, message: &Envelope) -> Result<(), NotTaken> {
        let full = |reason| PartitionStop::quarantine(message, reason);
        let incoming = || Incoming::message(message, from);
        if let Some(shelf) = &self.shelf
            && !shelf.is_empty()
        {
            match shelf.meet(&incoming()).await.map_err(|error| NotTaken::parking(error, full))? {
                Met::Free => {}
                Met::DealtWith => return Ok(()),
            }
        }
        match (self.effect.take(from, record, message).await, &self.shelf) {
            (Err(EffectError::Never(reason)), Some(shelf)) => {
                tracing::error!(consumer = self.status.name(), event_id = %message.id, reason, "a message is parked");
                shelf.failed(&incoming(), &reason).await.map_err(|error| NotTaken::parking(error, full))
            }
            (taken, _) => taken.map_err(|error| NotTaken::of(error, |reason| PartitionStop::effect(message, reason))),
        }
    }
}

/// Why something was not taken in.
enum NotTaken {
    Later(String),
    Never(PartitionStop),
}

impl NotTaken {
    fn of(error: EffectError, stop: impl FnOnce(String) -> PartitionStop) -> Self {
        match error {
            EffectError::Later(reason) => Self::Later(reason),
            EffectError::Never(reason) => Self::Never(stop(reason)),
        }
    }

    fn parking(error: NotParked, stop: impl FnOnce(String) -> PartitionStop) -> Self {
        match error {
            NotParked::Later(reason) => Self::Later(reason),
            NotParked::Full(reason) => Self::Never(stop(reason)),
        }
    }
}
