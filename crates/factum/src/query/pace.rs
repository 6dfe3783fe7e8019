//! How long a query takes, and so where it is answered.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A query that takes no longer than this, by its last answers, is answered by the task that asks: handing it to
/// another thread would take longer than a point read does, and others do not wait long for the thread.
const AT_ONCE_MAX: Duration = Duration::from_micros(200);
/// How much of the average each answer is: one in this many.
const WEIGHT: u64 = 8;

/// How long the last answers of one query took, as a moving average in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    /// Whether it can be answered where it is asked.
    pub(super) fn is_quick(&self) -> bool {
        Duration::from_nanos(self.0.load(Ordering::Relaxed)) <= AT_ONCE_MAX
    }

    /// Notes how long an answer took. Of two notes at once one may be lost.
    pub(super) fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before - before / WEIGHT + took / WEIGHT, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_quick_until_its_answers_take_long_and_again_when_they_do_not() {
        let pace = Pace::default();
        assert!(pace.is_quick());
        (0..100).for_each(|_| pace.note(AT_ONCE_MAX / 2));
        assert!(pace.is_quick());
        pace.note(AT_ONCE_MAX * 100);
        assert!(!pace.is_quick(), "one very long answer is enough");
        (0..100).for_each(|_| pace.note(AT_ONCE_MAX / 2));
        assert!(pace.is_quick());
        (0..100).for_each(|_| pace.note(AT_ONCE_MAX * 2));
        assert!(!pace.is_quick());
        pace.note(Duration::MAX);
        assert!(!pace.is_quick());
    }
}
