//! Every key of a handler tried again.

use std::sync::atomic::Ordering;

use factum::{
    quarantine::{QuarantineError, RetriedKeys},
    store::{Direction, Position, Selection},
};

use super::{EVERY, Ward, handled};
use crate::{operator::operator, world::POISON};

impl Ward {
    async fn retry_all(&self, after: Option<&str>, limit: usize) -> Result<RetriedKeys, QuarantineError> {
        self.quarantine.retry_all("totals", after, limit, operator()).await
    }

    /// Asks until nothing is left to be asked for: what became of the keys, three at a time.
    async fn retry_every_key(&self) -> Vec<(String, u64, u64, bool)> {
        let (mut told, mut after) = (Vec::new(), None);
        loop {
            let RetriedKeys { keys, next } = self.retry_all(after.as_deref(), 3).await.unwrap();
            assert!(keys.len() <= 3);
            told.extend(keys.into_iter().map(|one| {
                let of = one.handled;
                (one.key, of.done, of.left, of.failed.is_some())
            }));
            after = next;
            if after.is_none() {
                return told;
            }
        }
    }
}

/// After a build was fixed an operator had to name each of thousands of keys.
#[tokio::test]
async fn every_key_is_tried_again_some_at_a_time_and_one_that_fails_stops_none_behind_it() {
    for fed in EVERY {
        let ward = Ward::open(fed);
        for counter in 1..=7 {
            ward.raise(counter, POISON).await;
            ward.raise(counter, 1).await;
        }
        ward.parks(7, 14).await;
        let all = |done, left, failed| -> Vec<_> {
            (1..=7).map(|counter| (format!("counter-{counter}"), done, left, failed)).collect()
        };
        assert_eq!(ward.retry_every_key().await, all(0, 2, true));
        ward.parks(7, 14).await;
        ward.cured.store(true, Ordering::SeqCst);
        // One of them was dealt with by itself.
        assert_eq!(ward.retry("counter-4").await.unwrap(), handled(2, 0, None));
        let mut left = all(2, 0, false);
        left.remove(3);
        assert_eq!(ward.retry_every_key().await, left);
        ward.parks(0, 0).await;
        assert_eq!(ward.retry_all(None, 100).await.unwrap(), RetriedKeys::default());
        let unknown = ward.quarantine.retry_all("sums", None, 100, operator()).await.unwrap_err().to_string();
        assert_eq!(unknown, "no handler `sums` parks here: totals does");
        // Each is a decision of its own.
        let everything = Selection::everything();
        let decided = ward.decisions.read(&everything, Position::ZERO, Direction::Forward, 100).await.unwrap();
        assert_eq!(decided.events.len(), 7 + 1 + 6);
    }
}
