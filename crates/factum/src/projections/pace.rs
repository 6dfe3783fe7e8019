//! How much one transaction takes, by how long the ones before it took; and how fillings beside a read model that answers
//! leave the machine to those who ask.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long one transaction should take at most: when one took longer, the next ones take less.
const BATCH_TIME_MAX: Duration = Duration::from_millis(500);
/// How much the first transaction takes beside a read model that answers.
const POLITE_LIMIT_FIRST: usize = 64;
/// How much each of them takes at least: on a busy machine, less would wait as long, and never arrive.
const POLITE_LIMIT_MIN: usize = 16;
/// The same where it works all of the time: what a transaction costs by itself is shared by more, and it comes nearer also
/// where that is most of it.
const URGENT_LIMIT_MIN: usize = 256;
/// How many records one fetch brings beside a read model that answers: reading them from a local bus stops whoever is to be
/// served on the same thread.
pub(crate) const POLITE_FETCH_RECORDS: usize = 500;
/// The longest pause of a filling beside a read model that answers.
const POLITE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How much of the machine a filling beside a read model that answers takes: all of them in a service together take no more
/// than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillingPace {
    /// How long one of its transactions should take at most: whoever feeds what answers waits as long.
    pub transaction_time_max: Duration,
    /// How much of the time it works at least, in percent, 1 to 100: it pauses after each transaction accordingly. While it
    /// comes no nearer to what answers, it works more by itself, up to all of the time.
    pub share_percent: u32,
}

impl FillingPace {
    /// The default of [`FillingPace::transaction_time_max`].
    pub const TRANSACTION_TIME_MAX_DEFAULT: Duration = Duration::from_millis(3);
    /// The default of [`FillingPace::share_percent`].
    pub const SHARE_PERCENT_DEFAULT: u32 = 33;

    /// [`FillingPace::share_percent`], within its limits.
    pub(crate) fn share(self) -> u32 {
        self.share_percent.clamp(1, 100)
    }
}

impl Default for FillingPace {
    fn default() -> Self {
        Self { transaction_time_max: Self::TRANSACTION_TIME_MAX_DEFAULT, share_percent: Self::SHARE_PERCENT_DEFAULT }
    }
}

/// How long it pauses after a transaction that took so long, to work this much of the time, in percent.
pub(crate) fn pause(took: Duration, share: u32) -> Duration {
    (took.saturating_mul(100 - share) / share).min(POLITE_PAUSE_MAX)
}

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
    pub(crate) const fn polite(limit_max: usize, pace: FillingPace) -> Self {
        Self { limit: POLITE_LIMIT_FIRST, limit_min: POLITE_LIMIT_MIN, limit_max, time_max: pace.transaction_time_max }
    }

    /// Beside a read model that answers: how much of the time it works from now on, in percent.
    pub(crate) fn works(&mut self, share: u32) {
        self.limit_min = if share < 100 { POLITE_LIMIT_MIN } else { URGENT_LIMIT_MIN };
        self.limit = self.limit.max(self.limit_min);
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
    pace: Arc<Mutex<FillingPace>>,
}

impl Default for Turns {
    fn default() -> Self {
        let (filling, comparing) = (Semaphore::new(1), Semaphore::new(COMPARISONS_MAX));
        Self { filling: Arc::new(filling), comparing: Arc::new(comparing), pace: Arc::default() }
    }
}

impl Turns {
    /// Waits for the turn to fill. Dropping the future, and what it returns, gives it up.
    pub(crate) async fn take(&self) -> Turn {
        // Never closed: the wait cannot fail.
        Turn(Arc::clone(&self.filling).acquire_owned().await.ok())
    }

    pub(crate) fn pace(&self) -> FillingPace {
        *self.locked_pace()
    }

    pub(crate) fn set_pace(&self, pace: FillingPace) {
        *self.locked_pace() = pace;
    }

    fn locked_pace(&self) -> MutexGuard<'_, FillingPace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn to compare. Dropping the future, and what it returns, gives it up.
    pub(crate) async fn to_compare(&self) -> Turn {
        Turn(Arc::clone(&self.comparing).acquire_owned().await.ok())
    }
}

/// The turn, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_what_answers_it_begins_small_and_takes_little_time() {
        let mut pace = BatchPace::polite(1_000, FillingPace::default());
        assert_eq!(pace.limit(), POLITE_LIMIT_FIRST);
        pace.took(FillingPace::TRANSACTION_TIME_MAX_DEFAULT);
        assert_eq!(pace.limit(), 2 * POLITE_LIMIT_FIRST);
        pace.took(FillingPace::TRANSACTION_TIME_MAX_DEFAULT + Duration::from_millis(1));
        assert_eq!(pace.limit(), POLITE_LIMIT_FIRST);
        (0..20).for_each(|_| pace.took(Duration::from_secs(1)));
        assert_eq!(pace.limit(), POLITE_LIMIT_MIN, "it arrives on a busy machine, too");
        pace.works(99);
        assert_eq!(pace.limit(), POLITE_LIMIT_MIN);
        pace.works(100);
        pace.took(Duration::from_secs(1));
        assert_eq!(pace.limit(), URGENT_LIMIT_MIN, "and where each transaction costs much");
        pace.works(66);
        pace.took(Duration::from_secs(1));
        assert_eq!(pace.limit(), URGENT_LIMIT_MIN / 2);
    }

    #[test]
    fn a_filling_works_no_more_than_its_share_of_the_time() {
        let (took, second) = (Duration::from_millis(3), Duration::from_secs(1));
        assert_eq!([100, 50, 25, 1].map(|share| pause(took, share)), [Duration::ZERO, took, 3 * took, 99 * took]);
        assert_eq!(pause(second, FillingPace::default().share()), POLITE_PAUSE_MAX);
        let shares =
            [0, 1, 100, 101].map(|share_percent| FillingPace { share_percent, ..FillingPace::default() }.share());
        assert_eq!(shares, [1, 1, 100, 100]);
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
