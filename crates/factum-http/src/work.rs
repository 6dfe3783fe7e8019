//! The work for requests that goes on when its callers are gone, and who waits for it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// On an answer whose body has no end by itself: its connection is not one that nobody uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream;

/// More than any surfaces together work on at one time.
const WORK_MAX: u32 = 1 << 20;

/// Counts what is being worked on for the requests of one listener, which waits for it when it stops.
#[derive(Clone, Debug)]
pub(crate) struct Work(Arc<Semaphore>);

/// Work that has not ended; it has when this is dropped.
#[derive(Debug)]
pub(crate) struct Working {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for Work {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WORK_MAX as usize)))
    }
}

impl Work {
    pub(crate) fn begin(&self) -> Working {
        Working { _permit: Arc::clone(&self.0).try_acquire_owned().ok() }
    }

    /// How much has not ended.
    pub(crate) fn left(&self) -> usize {
        WORK_MAX as usize - self.0.available_permits()
    }

    /// Waits until nothing is left.
    pub(crate) async fn ended(&self) {
        // It is never closed: only the end of the wait matters.
        let _ = self.0.acquire_many(WORK_MAX).await;
    }
}
