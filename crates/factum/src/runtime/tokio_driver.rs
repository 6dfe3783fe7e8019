//! The real clock, real chance, tokio's tasks and threads.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Driver, Task, TaskFailure, TaskHandle, panic_text};
use crate::{model::Timestamp, store::BoxFuture};

pub(super) struct TokioDriver;

impl Driver for TokioDriver {
    // The one home of the system's clock.
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        Task::from_tokio(tokio::spawn(task))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let join = tokio::task::spawn_blocking(work);
        Box::pin(async move {
            // The work catches its own panics, and blocking work cannot be aborted once it runs.
            let _ = join.await;
        })
    }
}

impl TaskHandle for tokio::task::JoinHandle<()> {
    fn abort(&self) {
        Self::abort(self);
    }

    fn poll_join(&mut self, context: &mut Context<'_>) -> Poll<Result<(), TaskFailure>> {
        Pin::new(self).poll(context).map_err(|error| match error.try_into_panic() {
            Ok(payload) => TaskFailure::Panicked(panic_text(payload.as_ref())),
            Err(_) => TaskFailure::Aborted,
        })
    }
}
