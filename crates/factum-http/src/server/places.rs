//! The connections that are open, and who gives way when there is no place for another.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::progress::Progress;

/// How soon it is looked again for somebody to give way, while everybody is being worked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A limited number of places for connections.
pub(super) struct Places {
    max: usize,
    open: Mutex<Open>,
    left: Notify,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Arc<Progress>>,
    next: u64,
}

/// One connection's place; given back when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), open: Mutex::default(), left: Notify::new() })
    }

    /// Waits until there is a place. When all are taken, the connection on which nothing has moved for longest gives
    /// way, unless its request is being worked on: who only holds on to connections keeps nobody out. Streams are asked
    /// to only when they hold more than half of all places.
    pub(super) async fn free(&self) {
        loop {
            let left = self.left.notified();
            {
                let open = self.open();
                if open.connections.len() < self.max {
                    return;
                }
                if let Some(longest) = open.longest(false).or_else(|| open.longest(true)) {
                    longest.give_way();
                }
            }
            // Whether a place is free now, or somebody has become idle, is looked at either way.
            let _ = timeout(LOOK_AGAIN, left).await;
        }
    }

    /// Takes a place.
    pub(super) fn take(self: &Arc<Self>, progress: Arc<Progress>) -> Place {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, progress);
        drop(open);
        Place { places: Arc::clone(self), number }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The connection on which nothing has moved for longest, of those on which nothing is worked on; of streams only
    /// where there are too many.
    fn longest(&self, streaming: bool) -> Option<&Arc<Progress>> {
        let those = || self.connections.values().filter(|one| one.is_idle() && one.is_streaming() == streaming);
        if streaming && those().count() <= self.connections.len() / 2 {
            return None;
        }
        those().min_by_key(|one| one.moved_us())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open().connections.remove(&self.number);
        self.places.left.notify_one();
    }
}
