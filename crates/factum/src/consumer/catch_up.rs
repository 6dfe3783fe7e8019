//! Whether a consumer has seen everything that was there when it started.

use std::collections::HashMap;

use crate::{
    bus::{Offset, TopicPartition},
    projections::Phase,
};

/// The way from where the partitions resumed to the tails they had then.
#[derive(Debug)]
pub(super) struct CatchUp {
    /// The read models were empty: what is there on the way is only a part of them. Over once and for all.
    refilling: bool,
    /// Which partitions there are is known, and what each of them has.
    assigned: bool,
    partitions: HashMap<TopicPartition, Stretch>,
    done: u64,
    total: u64,
}

#[derive(Debug)]
struct Stretch {
    at: Offset,
    /// The last record when it began.
    target: Offset,
}

impl CatchUp {
    pub(super) fn new(refilling: bool) -> Self {
        Self { refilling, assigned: false, partitions: HashMap::new(), done: 0, total: 0 }
    }

    /// Nothing is there to catch up with.
    pub(super) const fn nothing_there(&mut self) {
        self.assigned = true;
    }

    /// Every partition of an assignment has begun. Before that, one that has nothing would pass for all of them.
    pub(super) fn assigned(&mut self) {
        self.assigned = true;
        self.note_whole();
    }

    /// A partition resumes at an offset; its last record is at `tail`.
    pub(super) fn begin(&mut self, partition: &TopicPartition, at: Offset, tail: Option<Offset>) {
        if let Some(target) = tail.filter(|tail| *tail >= at) {
            self.total += target.next().get() - at.get();
            self.partitions.insert(partition.clone(), Stretch { at, target });
        }
    }

    /// A partition got to an offset. Going back to its beginning undoes nothing.
    pub(super) fn reached(&mut self, partition: &TopicPartition, next: Offset) {
        let Some(stretch) = self.partitions.get_mut(partition) else { return };
        let to = next.min(stretch.target.next());
        if to > stretch.at {
            self.done += to.get() - stretch.at.get();
            stretch.at = to;
        }
        if stretch.at > stretch.target {
            self.partitions.remove(partition);
            self.note_whole();
        }
    }

    /// A partition is somebody else's now.
    pub(super) fn give_up(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
    }

    /// How many records are left on the way.
    pub(super) fn left(&self) -> u64 {
        self.partitions.values().map(|stretch| stretch.target.next().get().saturating_sub(stretch.at.get())).sum()
    }

    pub(super) fn is_done(&self) -> bool {
        self.assigned && self.partitions.is_empty()
    }

    /// Whether what is there is only a part.
    pub(super) const fn is_refilling(&self) -> bool {
        self.refilling
    }

    /// What comes later is lag, not a refill: new topics, and topics made anew, take nothing away.
    fn note_whole(&mut self) {
        self.refilling &= !self.is_done();
    }

    pub(super) fn phase(&self) -> Phase {
        if self.refilling && !self.is_done() {
            Phase::Refilling { done: self.done, total: self.total }
        } else {
            Phase::Live
        }
    }
}
