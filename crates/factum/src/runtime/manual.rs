//! A clock that moves when told to, and chance from a seed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Driver, Task};
use crate::{model::Timestamp, store::BoxFuture};

/// The clock behind [`Runtime::manual`](super::Runtime::manual). Starts at 2026-01-01T00:00:00Z. Clones share it.
#[derive(Clone)]
pub struct ManualClock {
    state: Arc<Mutex<State>>,
}

struct State {
    now: Timestamp,
    chance: fastrand::Rng,
    slept: u64,
    /// Who sleeps, in the order in which they wake: by their time, then by when they went to sleep.
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
}

impl ManualClock {
    const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    pub(crate) fn new(seed: u64) -> Self {
        let chance = fastrand::Rng::with_seed(seed);
        let state = State { now: Self::START, chance, slept: 0, sleepers: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Moves the clock; sleepers whose time has come are woken in the order of their times.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.state();
        let now = state.now.plus(duration);
        while let Some(sleeper) = state.sleepers.first_entry()
            && sleeper.key().0 <= now
        {
            let ((due, _), wake) = sleeper.remove_entry();
            state.now = state.now.max(due);
            // Who sleeps no more, because its future was dropped, needs no waking.
            let _ = wake.send(());
        }
        state.now = now;
    }

    /// When the next sleeper wakes; `None` when nobody sleeps.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let mut state = self.state();
        state.sleepers.retain(|_, wake| !wake.is_closed());
        state.sleepers.first_key_value().map(|((due, _), _)| *due)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for ManualClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn random(&self) -> u64 {
        self.state().chance.u64(..)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        Task::from_tokio(tokio::spawn(task))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        let (wake, woken) = oneshot::channel();
        let mut state = self.state();
        state.slept += 1;
        let due = (state.now.plus(duration), state.slept);
        state.sleepers.insert(due, wake);
        drop(state);
        Box::pin(async move {
            // Without a clock, time stands still.
            if woken.await.is_err() {
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
