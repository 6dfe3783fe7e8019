//! A clock that moves when told to, and chance from a seed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{Driver, Task};
use crate::{model::Timestamp, store::BoxFuture};

/// The clock behind [`Runtime::manual`](super::Runtime::manual). Starts at 2026-01-01T00:00:00Z.
#[derive(Clone)]
pub struct ManualClock {
    now: Arc<watch::Sender<Timestamp>>,
    chance: Arc<Mutex<fastrand::Rng>>,
}

impl ManualClock {
    const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Arc::new(watch::Sender::new(Self::START)),
            chance: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
        }
    }

    /// Moves the clock; sleepers whose time has come wake up.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| *now = now.plus(duration));
    }

    fn chance(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn random(&self) -> u64 {
        self.chance().u64(..)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        Task::from_tokio(tokio::spawn(task))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let until = self.now().plus(duration);
        let mut now = self.now.subscribe();
        Box::pin(async move {
            // The sender lives as long as any clone of the clock; without it time stands still.
            if now.wait_for(|now| *now >= until).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let join = tokio::task::spawn_blocking(work);
        Box::pin(async move {
            let _ = join.await;
        })
    }
}
