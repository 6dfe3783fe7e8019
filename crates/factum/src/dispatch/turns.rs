//! Commands for one aggregate take turns within a process, so that they do not conflict with each other.

use std::hash::{BuildHasher, RandomState};

use factum_engine::StreamName;
use tokio::sync::{Mutex, MutexGuard};

/// How many turns there are: streams beyond that share one.
const TURNS: usize = 4_096;

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

    /// Waits for the stream's turn; it ends when the guard is dropped. First come, first served.
    pub(super) async fn take(&self, stream: &StreamName) -> MutexGuard<'_, ()> {
        let hash = self.hash.hash_one(stream);
        // TURNS fits into every usize, and so does a number below it.
        let index = (hash % TURNS as u64) as usize;
        self.locks[index].lock().await
    }
}
