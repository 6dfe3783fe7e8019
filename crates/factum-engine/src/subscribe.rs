//! Waiting for the synced head, without polling and without a thread.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::error::Closed;
use crate::numbers::Position;
use crate::shared::lock;

/// The last positions written and known durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Last position written: what decisions see. Not behind `synced`; with
    /// [`Durability::Synced`](crate::Durability::Synced) ahead of it for a moment at most.
    pub written: Position,
    /// Last position known durable: what subscriptions, relays and followers may see.
    pub synced: Position,
}

/// Knows the synced head and who waits for it.
pub(crate) struct Announcer {
    state: Mutex<State>,
}

struct State {
    synced: Position,
    closed: bool,
    next_key: u64,
    waiters: HashMap<u64, (Position, Waker)>,
}

impl Announcer {
    pub(crate) fn new(synced: Position) -> Arc<Self> {
        let state = State { synced, closed: false, next_key: 0, waiters: HashMap::new() };
        Arc::new(Announcer { state: Mutex::new(state) })
    }

    pub(crate) fn synced(&self) -> Position {
        lock(&self.state).synced
    }

    pub(crate) fn announce(&self, synced: Position) {
        let mut state = lock(&self.state);
        assert!(synced >= state.synced, "the synced head never goes back");
        state.synced = synced;
        if state.waiters.is_empty() {
            return;
        }
        let ready: Vec<Waker> =
            state.waiters.extract_if(|_, (after, _)| *after < synced).map(|(_, (_, waker))| waker).collect();
        // Woken without the lock: a waker may run anything, a new wait among it.
        drop(state);
        ready.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_values().for_each(|(_, waker)| waker.wake());
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        lock(&self.state).waiters.len()
    }
}

/// Resolves to the synced head as soon as that is beyond a position; to [`Closed`] when the store is closed before.
///
/// It does not keep the store open. Dropped, it leaves nothing behind.
#[must_use = "futures do nothing unless polled"]
pub struct SyncedBeyond {
    announcer: Arc<Announcer>,
    after: Position,
    key: Option<u64>,
}

impl SyncedBeyond {
    pub(crate) fn new(announcer: Arc<Announcer>, after: Position) -> Self {
        SyncedBeyond { announcer, after, key: None }
    }
}

impl Future for SyncedBeyond {
    type Output = Result<Position, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = lock(&this.announcer.state);
        let answer = if state.synced > this.after {
            Some(Ok(state.synced))
        } else if state.closed {
            Some(Err(Closed))
        } else {
            None
        };
        if let Some(answer) = answer {
            if let Some(key) = this.key.take() {
                state.waiters.remove(&key);
            }
            return Poll::Ready(answer);
        }
        let key = *this.key.get_or_insert_with(|| {
            state.next_key += 1;
            state.next_key
        });
        state.waiters.insert(key, (this.after, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for SyncedBeyond {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // The waker is dropped without the lock: it may run anything.
            let forgotten = lock(&self.announcer.state).waiters.remove(&key);
            drop(forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_waiter_is_woken_once_the_head_passes_it_and_not_before() {
        let announcer = Announcer::new(Position::new(3));
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        let mut wait = Box::pin(SyncedBeyond::new(announcer.clone(), Position::new(4)));
        assert!(wait.as_mut().poll(&mut context).is_pending());
        announcer.announce(Position::new(4));
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        announcer.announce(Position::new(9));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(Ok(Position::new(9))));
    }

    #[test]
    fn a_dropped_waiter_leaves_nothing_and_closing_answers_the_others() {
        let announcer = Announcer::new(Position::ZERO);
        let mut context = Context::from_waker(Waker::noop());
        let mut kept = Box::pin(SyncedBeyond::new(announcer.clone(), Position::ZERO));
        let mut dropped = Box::pin(SyncedBeyond::new(announcer.clone(), Position::ZERO));
        assert!(kept.as_mut().poll(&mut context).is_pending());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        assert_eq!(announcer.waiting(), 2);
        drop(dropped);
        assert_eq!(announcer.waiting(), 1);
        announcer.close();
        assert_eq!(kept.as_mut().poll(&mut context), Poll::Ready(Err(Closed)));
    }
}
