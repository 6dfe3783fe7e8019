//! Commands for one aggregate take turns within a process, so that they do not conflict with each other.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use factum_engine::StreamName;
use tokio::sync::{Mutex, MutexGuard};

use crate::runtime::Runtime;

/// How many turns there are: streams beyond that share one.
const TURNS: usize = 4_096;
/// How long a command waits for its turn; then it goes ahead and lets the store judge.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

/// A fixed number of locks, chosen by the stream's hash. Waiting here instead of conflicting at the store costs
/// nothing when aggregates differ, and makes a hundred commands for one aggregate a hundred appends, not thousands of
/// attempts. Only a hint: correctness is the store's expected version.
pub(super) struct Turns {
    locks: Box<[Mutex<()>]>,
    hash: RandomState,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { locks: (0..TURNS).map(|_| Mutex::new(())).collect(), hash: RandomState::new() }
    }

    /// Waits for the stream's turn; it ends when the guard is dropped. First come, first served. `None`: somebody takes
    /// too long, which must not stop the others.
    pub(super) async fn take(&self, runtime: &Runtime, stream: &StreamName) -> Option<MutexGuard<'_, ()>> {
        let hash = self.hash.hash_one(stream);
        // TURNS fits into every usize, and so does a number below it.
        let lock = &self.locks[(hash % TURNS as u64) as usize];
        match lock.try_lock() {
            Ok(turn) => Some(turn),
            Err(_) => runtime.within(TURN_WAIT_MAX, lock.lock()).await,
        }
    }
}
