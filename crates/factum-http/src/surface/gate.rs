//! How much a surface takes on at one time.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Extension;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::attended::Attended;
use crate::{options::SurfaceOptions, problem::Problem, work::Work};

/// How much a surface takes on at one time: a limit on work, and one on the bodies waiting for it. What comes beyond
/// is turned away at once instead of queueing.
pub(super) struct Gate {
    work: Arc<Semaphore>,
    body_bytes: Arc<Semaphore>,
    live: Arc<Semaphore>,
    live_max: usize,
    request_timeout: Duration,
}

/// Bytes of bodies held; given back when dropped.
pub(super) struct HeldBytes(Mutex<Option<OwnedSemaphorePermit>>);

impl Gate {
    pub(super) fn new(options: &SurfaceOptions) -> Self {
        Self {
            work: Arc::new(Semaphore::new(options.requests_max.min(Semaphore::MAX_PERMITS))),
            body_bytes: Arc::new(Semaphore::new(options.bodies_bytes_max.min(Semaphore::MAX_PERMITS))),
            live: Arc::new(Semaphore::new(options.live_max.min(Semaphore::MAX_PERMITS))),
            live_max: options.live_max.min(Semaphore::MAX_PERMITS),
            request_timeout: options.request_timeout,
        }
    }

    /// Does the work of one request.
    ///
    /// The work holds its place until it has really ended, also when its caller has hung up or been told that it takes
    /// too long: what a query does on a thread cannot be called off, and asking and hanging up in a loop must not pile
    /// it up. Its owner is the listener that took the request, where there is
    /// one: it waits for the work when it stops.
    ///
    /// # Errors
    /// 429 when there is no place, 503 with `advice` when it takes too long.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        owner: Option<Extension<Work>>,
        advice: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.work).try_acquire_owned().map_err(|_| Problem::too_many_requests())?;
        let owned = owner.map(|Extension(owner)| owner.begin());
        let work = async move {
            let _held = (place, owned);
            work.await
        };
        match timeout(self.request_timeout, Attended::new(work)).await {
            Ok(done) => Ok(done),
            Err(_) => {
                tracing::warn!(limit = ?self.request_timeout, "the work for a request takes too long");
                Err(Problem::unavailable(&format!("no answer within {:?}: {advice}", self.request_timeout)))
            }
        }
    }

    /// A place for one live query, as long as it is held.
    ///
    /// # Errors
    /// 429 when there is none.
    pub(super) fn subscribe(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.live).try_acquire_owned().map_err(|_| Problem::too_many_live_queries())
    }

    /// How many live queries are open.
    pub(super) fn subscribed(&self) -> usize {
        self.live_max - self.live.available_permits()
    }

    /// An account for the bytes of one body.
    pub(super) const fn hold_bytes(&self) -> HeldBytes {
        HeldBytes(Mutex::new(None))
    }

    /// Adds bytes to an account.
    ///
    /// # Errors
    /// 429 when all bodies together would be too large.
    pub(super) fn hold_more(&self, held: &HeldBytes, bytes: usize) -> Result<(), Problem> {
        let count = u32::try_from(bytes).map_err(|_| Problem::too_many_requests())?;
        let more = Arc::clone(&self.body_bytes).try_acquire_many_owned(count);
        let more = more.map_err(|_| Problem::too_many_requests())?;
        let mut held = held.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(permit) => permit.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}
