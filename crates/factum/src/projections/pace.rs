//! How much one transaction takes, by how long the ones before it took.

use std::time::Duration;

/// How long one transaction should take at most: when one took longer, the next ones take less.
const BATCH_TIME_MAX: Duration = Duration::from_millis(500);

/// How many events or records the next transaction takes at most.
#[derive(Debug)]
pub(crate) struct BatchPace {
    limit: usize,
    limit_max: usize,
}

impl BatchPace {
    pub(crate) const fn new(limit_max: usize) -> Self {
        Self { limit: limit_max, limit_max }
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Takes less after a slow transaction, and more again after a quick one.
    pub(crate) fn took(&mut self, time: Duration) {
        self.limit = if time > BATCH_TIME_MAX { (self.limit / 2).max(1) } else { (self.limit * 2).min(self.limit_max) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_transactions_shrink_down_to_one_and_quick_ones_grow_up_to_the_limit() {
        let slow = BATCH_TIME_MAX + Duration::from_millis(1);
        let mut pace = BatchPace::new(5);
        let mut limits = |times: &[Duration]| -> Vec<usize> {
            let mut limit_after = |time: &Duration| {
                pace.took(*time);
                pace.limit()
            };
            times.iter().map(&mut limit_after).collect()
        };
        assert_eq!(limits(&[slow; 4]), [2, 1, 1, 1]);
        assert_eq!(limits(&[BATCH_TIME_MAX; 4]), [2, 4, 5, 5]);
    }
}
