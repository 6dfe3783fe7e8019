//! Sums over everything an index says, in any order: of an index file, and of the log it was made of.

use std::sync::Arc;

use super::run::Run;
use super::{BatchPlace, NOT_COUNTED, ReadBatch, Trouble};
use crate::index::block::Batches;
use crate::index::key::Key;

/// A sum; those of several segments add up. It tells mistakes apart, not malice: nobody outside has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum(u64);

/// A number spread over all bits (the finalizer of SplitMix64, Steele and others 2014).
fn spread(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

impl Sum {
    pub(crate) fn add(&mut self, other: Sum) {
        self.0 = self.0.wrapping_add(other.0);
    }

    fn posting(&mut self, key: Key, version: u64, position: u64) {
        let place = spread(position ^ spread(version));
        self.0 = self.0.wrapping_add(spread(key.0 as u64 ^ spread((key.0 >> 64) as u64 ^ place)));
    }

    fn place(&mut self, place: &BatchPlace) {
        let BatchPlace { first, segment, offset, length, events } = *place;
        let there = spread(u64::from(segment) << 32 | u64::from(offset));
        let size = spread(u64::from(length) << 16 | u64::from(events));
        self.0 = self.0.wrapping_add(spread(first ^ spread(there ^ size)));
    }

    /// Adds a batch of the log.
    pub(crate) fn batch(&mut self, batch: &ReadBatch) {
        let first = batch.place.first;
        self.place(&batch.place);
        let mut position = first;
        for (stream, base) in batch.keys.streams.iter().zip(&batch.bases) {
            for version in base + 1..=base + u64::from(stream.events) {
                self.posting(stream.key, version, position);
                position += 1;
            }
        }
        // An event may carry a tag twice.
        let mut events = batch.keys.events.clone();
        events.sort_unstable();
        events.dedup();
        for (ordinal, key) in events {
            self.posting(key, NOT_COUNTED, first + u64::from(ordinal));
        }
        if let Some(command) = batch.keys.command {
            self.posting(command, NOT_COUNTED, first);
        }
    }

    /// Of an index file, every block of which is read and checked.
    pub(crate) fn of_run(run: &Arc<Run>) -> Result<Sum, Trouble> {
        let mut sum = Sum::default();
        run.each_batch_block(&mut |block| {
            let batches = Batches(block);
            (0..batches.count()).for_each(|number| sum.place(&batches.get(number)));
            Ok(())
        })?;
        let (mut scan, mut positions) = (run.scan(), Vec::new());
        while let Some(fence) = scan.next(&mut positions)? {
            if !run.may_hold(fence.key)? {
                return Err(Trouble::Damaged { run: run.id });
            }
            for (position, number) in positions.iter().zip(1..) {
                let version = if fence.base == NOT_COUNTED { NOT_COUNTED } else { fence.base.wrapping_add(number) };
                sum.posting(fence.key, version, *position);
            }
        }
        Ok(sum)
    }
}
