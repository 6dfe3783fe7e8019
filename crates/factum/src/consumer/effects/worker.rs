//! Works on what came under one key: one record after the other, each again until it is done.

use std::sync::Arc;

use super::{
    Effect, EffectError,
    batch::{Chain, Item},
};
use crate::{
    bus::TopicPartition,
    consumer::end::PartitionStop,
    runtime::{Backoff, Runtime, Status, Stop},
};

/// What working on a key needs.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) effect: Arc<dyn Effect>,
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
                    Item::Message(index, message) => self.effect.take(&partition, &records[*index], message).await,
                    Item::Unreadable(index, error) => {
                        self.effect.take_unreadable(&partition, &records[*index], error).await
                    }
                };
                match taken {
                    Ok(()) => break,
                    Err(EffectError::Never(reason)) => {
                        return ChainEnd::Ended(partition, Some((item.index(), stopped(&item, reason))));
                    }
                    Err(EffectError::Later(reason)) => {
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
}

fn stopped(item: &Item, reason: String) -> PartitionStop {
    match item {
        Item::Message(_, message) => {
            PartitionStop::Effect { position: message.position, name: message.name.clone(), reason }
        }
        Item::Unreadable(..) => PartitionStop::Unreadable(reason),
    }
}
