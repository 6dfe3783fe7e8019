//! Partitions that stand still after a message failed for good, and when each is tried again.

use std::{collections::HashMap, time::Duration};

use crate::{
    bus::TopicPartition,
    model::Timestamp,
    runtime::{Backoff, Runtime},
};

/// The first wait before a stopped partition is tried again.
const STOPPED_WAIT_FIRST: Duration = Duration::from_millis(100);
/// The longest wait before a stopped partition is tried again.
const STOPPED_WAIT_MAX: Duration = Duration::from_secs(30);

/// The partitions that stand still.
#[derive(Default)]
pub(super) struct Standstill {
    partitions: HashMap<TopicPartition, Stopped>,
}

struct Stopped {
    backoff: Backoff,
    /// `None` while it is being tried again.
    due: Option<Timestamp>,
}

impl Standstill {
    /// A partition failed, perhaps again.
    pub(super) fn stop(&mut self, partition: &TopicPartition, runtime: &Runtime) {
        let fresh = || Stopped { backoff: Backoff::new(STOPPED_WAIT_FIRST, STOPPED_WAIT_MAX), due: None };
        let stopped = self.partitions.entry(partition.clone()).or_insert_with(fresh);
        stopped.due = Some(runtime.now().plus(stopped.backoff.next(runtime)));
    }

    /// A partition got past its trouble, or is not ours any more; true when it stood still before.
    pub(super) fn forget(&mut self, partition: &TopicPartition) -> bool {
        self.partitions.remove(partition).is_some()
    }

    /// Waits until a partition is due.
    pub(super) async fn due(&self, runtime: &Runtime) {
        match self.partitions.values().filter_map(|stopped| stopped.due).min() {
            Some(due) => runtime.sleep(due.since(runtime.now())).await,
            None => std::future::pending().await,
        }
    }

    /// The partitions that are due now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<TopicPartition> {
        let due = self.partitions.iter_mut().filter(|(_, stopped)| stopped.due.is_some_and(|due| due <= now));
        due.map(|(partition, stopped)| {
            stopped.due = None;
            partition.clone()
        })
        .collect()
    }
}
