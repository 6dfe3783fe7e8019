//! Where a loop says that it stands at a fork, and is told that this was accepted.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use factum_engine::Position;
use tokio::sync::{Notify, watch};

use super::{Accepted, Forks};
use crate::{
    bus::{Offset, TopicPartition},
    model::Source,
    store::{History, StoreError},
};

/// A partition whose consumer stands still beyond a fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) partition: TopicPartition,
    /// The record at which it stands.
    pub(crate) offset: Offset,
    /// The history that was left, and the one its source goes on with.
    pub(crate) left: Source,
    pub(crate) history: History,
    pub(crate) fork: Position,
    pub(crate) watermark: Position,
}

/// What a loop and those who look at it share.
pub(super) struct Shared {
    pub(super) consumer: Arc<str>,
    pub(super) standing: watch::Sender<BTreeMap<TopicPartition, Standing>>,
    pub(super) decided: Notify,
}

/// A loop's end of the line. Without [`Forks`] nobody ever accepts anything.
#[derive(Clone, Default)]
pub(crate) struct Desk(Option<(Arc<Forks>, Arc<Shared>)>);

impl Desk {
    /// For a consumer by the name of its progress.
    pub(crate) fn open(forks: &Arc<Forks>, consumer: &str) -> Self {
        let shared =
            Arc::new(Shared { consumer: consumer.into(), standing: watch::Sender::default(), decided: Notify::new() });
        forks.desks.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&shared));
        Self(Some((Arc::clone(forks), shared)))
    }

    /// From where it was accepted that it goes on.
    pub(crate) async fn accepted(&self) -> Result<Accepted, StoreError> {
        match &self.0 {
            Some((forks, shared)) => forks.accepted_of(&shared.consumer).await,
            None => Ok(Accepted::default()),
        }
    }

    /// Waits until something may have been accepted. Dropping the future loses nothing.
    pub(crate) async fn decided(&self) {
        match &self.0 {
            Some((_, shared)) => shared.decided.notified().await,
            None => std::future::pending().await,
        }
    }

    /// A partition stands still at a fork.
    pub(crate) fn stands(&self, standing: Standing) {
        if let Some((_, shared)) = &self.0 {
            shared.standing.send_modify(|all| drop(all.insert(standing.partition.clone(), standing)));
        }
    }

    /// A partition goes on.
    pub(crate) fn goes_on(&self, partition: &TopicPartition) {
        if let Some((_, shared)) = &self.0 {
            shared.standing.send_if_modified(|all| all.remove(partition).is_some());
        }
    }

    /// Nothing is known of any partition.
    pub(crate) fn begins(&self) {
        if let Some((_, shared)) = &self.0 {
            shared.standing.send_modify(BTreeMap::clear);
        }
    }
}
