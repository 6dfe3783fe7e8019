//! Time, chance, spawning and blocking work: one handle for all of it, so that a test can drive everything.

mod attempts;
mod backoff;
mod manual;
mod status;
mod tokio_driver;
mod trouble;

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use uuid::Uuid;

pub(crate) use attempts::Attempts;
pub use backoff::Backoff;
pub use manual::ManualClock;
pub(crate) use status::{ALARMS_MAX, More};
pub use status::{LoopState, Status, StatusReport, Stop, Stopper};
pub(crate) use trouble::{Ending, Trouble};

use crate::{model::Timestamp, store::BoxFuture};

/// Where time, chance, tasks and threads come from. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    driver: Arc<dyn Driver>,
}

/// What stands behind a [`Runtime`].
pub trait Driver: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// 64 random bits.
    fn random(&self) -> u64;
    /// Runs a future on its own; it ends when it is done or the returned handle aborts it.
    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task;
    /// Is done after this long.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Runs blocking work where it stops nobody else; is done when the work is.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}

/// A spawned task.
pub struct Task {
    handle: Box<dyn TaskHandle>,
}

/// What stands behind a [`Task`]. Dropping it lets the task run on.
pub trait TaskHandle: Send + Sync {
    /// Asks it to stop at its next await point.
    fn abort(&self);
    /// Whether and how it has ended; wakes whoever asked last.
    fn poll_join(&mut self, context: &mut Context<'_>) -> Poll<Result<(), TaskFailure>>;
}

/// How a task ended when it did not simply finish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailure {
    /// It panicked.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// It was aborted.
    #[error("it was aborted")]
    Aborted,
}

impl Task {
    /// A task by what stands behind it.
    pub fn new(handle: impl TaskHandle + 'static) -> Self {
        Self { handle: Box::new(handle) }
    }

    /// Wraps a tokio task.
    pub fn from_tokio(join: tokio::task::JoinHandle<()>) -> Self {
        Self::new(join)
    }

    /// Asks it to stop at its next await point.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It panicked or was aborted.
    pub async fn join(&mut self) -> Result<(), TaskFailure> {
        poll_fn(|context| self.handle.poll_join(context)).await
    }
}

/// The message of a panic, where it carries one.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Runs code that is not ours; when it panics, its message. What it was changing must not be used after that.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panic_text(payload.as_ref()))
}

/// Waits for work, and hears of what comes meanwhile, if it comes sooner.
pub(crate) async fn meanwhile<T, N>(work: impl Future<Output = T>, next: impl Future<Output = N>) -> (T, Option<N>) {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => (done, None),
        next = next => (work.await, Some(next)),
    }
}

/// Waits for what is under way, if anything is; nothing is after that. Dropping the future loses nothing.
pub(crate) async fn finished<T>(under_way: &mut Option<BoxFuture<'static, T>>) -> T {
    match under_way {
        Some(future) => {
            let done = future.await;
            *under_way = None;
            done
        }
        None => std::future::pending().await,
    }
}

impl Runtime {
    /// The real thing: the system's clock, the tokio runtime of whoever calls.
    pub fn tokio() -> Self {
        Self { driver: Arc::new(tokio_driver::TokioDriver) }
    }

    /// For tests: a clock that only moves when told to, chance from a seed; tasks still run on tokio.
    pub fn manual(seed: u64) -> (Self, ManualClock) {
        let clock = ManualClock::new(seed);
        (Self { driver: Arc::new(clock.clone()) }, clock)
    }

    /// A runtime on another driver.
    pub fn new(driver: Arc<dyn Driver>) -> Self {
        Self { driver }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.driver.now()
    }

    /// A random number below `bound`; 0 when `bound` is 0.
    pub fn random_below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.driver.random() % bound }
    }

    /// A new id, UUID v7 (RFC 9562): sorts by time.
    pub fn new_id(&self) -> Uuid {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.driver.random().to_le_bytes());
        random[8..].copy_from_slice(&self.driver.random().to_le_bytes()[..2]);
        uuid::Builder::from_unix_timestamp_millis(self.now().as_millis(), &random).into_uuid()
    }

    /// Runs a future on its own.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        self.driver.spawn(Box::pin(task))
    }

    /// Is done after this long.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.driver.sleep(duration)
    }

    /// The result of a future, or `None` when it took longer than `limit`.
    pub async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = self.sleep(limit) => None,
        }
    }

    /// Runs blocking work where it stops nobody else, and returns what it returns.
    ///
    /// # Errors
    /// The work panicked: the panic's message.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskFailure> {
        let (answer, result) = tokio::sync::oneshot::channel();
        let run = move || {
            // Nobody waits any more when the caller was dropped: the work is done all the same.
            let _ = answer.send(contained(work).map_err(TaskFailure::Panicked));
        };
        self.driver.blocking(Box::new(run)).await;
        result.await.unwrap_or(Err(TaskFailure::Aborted))
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runtime")
    }
}
