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
        let now = runtime.now();
        match self.partitions.values().filter_map(|stopped| stopped.due).map(|due| left(due, now)).min() {
            Some(wait) => runtime.sleep(wait).await,
            None => std::future::pending().await,
        }
    }

    /// Every partition that stands still, to be tried again at once.
    pub(super) fn take_all(&mut self) -> Vec<TopicPartition> {
        self.partitions.values_mut().for_each(|stopped| stopped.due = None);
        self.partitions.keys().cloned().collect()
    }

    /// The partitions that are due now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<TopicPartition> {
        let is_due = |stopped: &Stopped| stopped.due.is_some_and(|due| left(due, now).is_zero());
        let due = self.partitions.iter_mut().filter(|(_, stopped)| is_due(stopped));
        due.map(|(partition, stopped)| {
            stopped.due = None;
            partition.clone()
        })
        .collect()
    }
}

/// How long until a moment. One farther off than any wait was set before the clock went back: it is now.
fn left(due: Timestamp, now: Timestamp) -> Duration {
    let wait = due.since(now);
    if wait > STOPPED_WAIT_MAX { Duration::ZERO } else { wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_back_does_not_keep_a_partition_stopped() {
        let (runtime, clock) = Runtime::manual(7);
        clock.advance(Duration::from_secs(1_000_000));
        let partition = TopicPartition { topic: "t".into(), partition: 0 };
        let mut standstill = Standstill::default();
        standstill.stop(&partition, &runtime);
        let now = runtime.now();
        assert!(standstill.take_due(now).is_empty());
        assert_eq!(standstill.take_due(now.plus(STOPPED_WAIT_FIRST)), std::slice::from_ref(&partition));
        standstill.stop(&partition, &runtime);
        assert_eq!(standstill.take_due(Timestamp::from_micros(0)), [partition]);
    }
}
