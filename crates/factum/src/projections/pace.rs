//! How much one transaction takes, by how long the ones before it took; and how fillings beside a read model that answers
//! leave the machine to those who ask.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::runtime::{Runtime, Stop};

/// How long one transaction should take at most: when one took longer, the next ones take less.
const BATCH_TIME_MAX: Duration = Duration::from_millis(500);
/// The same beside a read model that answers: whoever feeds that one waits as long.
const POLITE_TIME_MAX: Duration = Duration::from_millis(10);
/// How much the first transaction takes beside a read model that answers.
const POLITE_LIMIT_FIRST: usize = 64;
/// How much each of them takes at least: on a busy machine, less would wait as long, and never arrive.
const POLITE_LIMIT_MIN: usize = 16;
/// How long a filling beside a read model that answers pauses after each transaction, in times of what that took: it
/// works a third of the time.
const POLITE_PAUSE: u32 = 2;
/// The longest such pause.
const POLITE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How many events or records the next transaction takes at most.
#[derive(Debug)]
pub(crate) struct BatchPace {
    limit: usize,
    limit_min: usize,
    limit_max: usize,
    time_max: Duration,
}

impl BatchPace {
    pub(crate) const fn new(limit_max: usize) -> Self {
        Self { limit: limit_max, limit_min: 1, limit_max, time_max: BATCH_TIME_MAX }
    }

    /// Beside a read model that answers.
    pub(crate) const fn polite(limit_max: usize) -> Self {
        Self { limit: POLITE_LIMIT_FIRST, limit_min: POLITE_LIMIT_MIN, limit_max, time_max: POLITE_TIME_MAX }
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Takes less after a slow transaction, and more again after a quick one.
    pub(crate) fn took(&mut self, time: Duration) {
        let Self { limit, limit_min, limit_max, time_max } = *self;
        self.limit = if time > time_max { (limit / 2).max(limit_min) } else { (limit * 2).min(limit_max) };
    }
}

/// How many generations of a service are compared at a time: each comparison holds a snapshot of the read store.
const COMPARISONS_MAX: usize = 1;

/// The turns of what is done beside read models that answer: all fillings of a service share one, so that together they
/// take no more than one; and so do all comparisons.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    filling: Arc<Semaphore>,
    comparing: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { filling: Arc::new(Semaphore::new(1)), comparing: Arc::new(Semaphore::new(COMPARISONS_MAX)) }
    }
}

impl Turns {
    /// Waits for the turn to fill. Dropping the future, and what it returns, gives it up.
    pub(crate) async fn take(&self) -> Turn {
        // Never closed: the wait cannot fail.
        Turn(Arc::clone(&self.filling).acquire_owned().await.ok())
    }

    /// Waits for the turn to compare. Dropping the future, and what it returns, gives it up.
    pub(crate) async fn to_compare(&self) -> Turn {
        Turn(Arc::clone(&self.comparing).acquire_owned().await.ok())
    }
}

/// The turn, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

/// Pauses after a transaction beside a read model that answers, until told to stop.
pub(crate) async fn pause_after(took: Duration, runtime: &Runtime, stop: &mut Stop) {
    let pause = took.saturating_mul(POLITE_PAUSE).min(POLITE_PAUSE_MAX);
    let _ = stop.unless(runtime.sleep(pause)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_what_answers_it_begins_small_and_takes_little_time() {
        let mut pace = BatchPace::polite(1_000);
        assert_eq!(pace.limit(), POLITE_LIMIT_FIRST);
        pace.took(POLITE_TIME_MAX);
        assert_eq!(pace.limit(), 2 * POLITE_LIMIT_FIRST);
        pace.took(POLITE_TIME_MAX + Duration::from_millis(1));
        assert_eq!(pace.limit(), POLITE_LIMIT_FIRST);
        (0..20).for_each(|_| pace.took(Duration::from_secs(1)));
        assert_eq!(pace.limit(), POLITE_LIMIT_MIN, "it arrives on a busy machine, too");
    }

    #[tokio::test]
    async fn comparing_has_a_turn_of_its_own() {
        let turns = Turns::default();
        let (_filling, _comparing) = (turns.take().await, turns.to_compare().await);
        let mut another = Box::pin(turns.to_compare());
        tokio::select! {
            biased;
            _ = &mut another => panic!("each comparison holds a snapshot"),
            () = tokio::task::yield_now() => {}
        }
    }

    #[tokio::test]
    async fn a_turn_is_given_to_one_at_a_time() {
        let turns = Turns::default();
        let turn = turns.take().await;
        let mut waiting = Box::pin(turns.take());
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("somebody has it"),
            () = tokio::task::yield_now() => {}
        }
        drop(turn);
        waiting.await;
    }

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
