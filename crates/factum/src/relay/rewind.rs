//! Sending again from a position on: asked for by an operator, carried out by the relay's own loop.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, oneshot};

use crate::{
    model::EventId,
    runtime::LoopState,
    store::{Position, StoreError},
};

/// How many rewinds of one relay may wait for its loop.
pub const REWINDS_WAITING_MAX: usize = 16;
/// How long a rewind waits for the relay's loop to write it down.
pub const REWIND_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why a relay did not rewind, or is not known to.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    /// No such topic is published here.
    #[error("`{topic}` is not published here: {}", known(.published))]
    UnknownTopic {
        /// What was asked for.
        topic: String,
        /// What is published here.
        published: Vec<String>,
    },
    /// The store has no such position.
    #[error("position {to} is beyond the head {head} of the store")]
    BeyondHead {
        /// What was asked for.
        to: Position,
        /// Where the store ends.
        head: Position,
    },
    /// The relay's loop is over: another instance publishes, or it halted.
    #[error("the relay is {}: rewind where it runs, or mend what stopped it first", .0.as_str())]
    NotRunning(LoopState),
    /// Too many rewinds wait already.
    #[error("{REWINDS_WAITING_MAX} rewinds of this topic wait already")]
    Busy,
    /// The relay did not get to it in time, or failed over it: it may have rewound or not. Asking again does no harm.
    #[error("whether the relay rewinds is not known: look at it, and ask again")]
    Unknown,
    /// The event store cannot tell.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn known(published: &[String]) -> String {
    if published.is_empty() { "nothing is".to_owned() } else { format!("only {}", published.join(", ")) }
}

/// A rewind that was written down: it goes on through any crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewound {
    /// Messages of events after this position are sent again: what was asked for, or where the relay was before that.
    pub to: Position,
    /// Where the relay was.
    pub from: Position,
}

/// A rewind that waits for the loop.
pub(super) struct Request {
    pub(super) to: Position,
    pub(super) done: oneshot::Sender<Result<Rewound, RewindError>>,
}

/// Where rewinds wait for the relay's loop.
#[derive(Default)]
pub(super) struct Desk {
    waiting: Mutex<VecDeque<Request>>,
    asked: Notify,
}

impl Desk {
    /// Asks for a rewind; the answer comes when it was written down.
    pub(super) fn ask(&self, to: Position) -> Result<oneshot::Receiver<Result<Rewound, RewindError>>, RewindError> {
        let (done, answer) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.retain(|request| !request.done.is_closed());
        if waiting.len() >= REWINDS_WAITING_MAX {
            return Err(RewindError::Busy);
        }
        waiting.push_back(Request { to, done });
        drop(waiting);
        self.asked.notify_one();
        Ok(answer)
    }

    /// The next one that somebody still waits for.
    pub(super) fn take(&self) -> Option<Request> {
        let mut waiting = self.waiting();
        while let Some(request) = waiting.pop_front() {
            if !request.done.is_closed() {
                return Some(request);
            }
        }
        None
    }

    /// Waits until a rewind is asked for. It stays on the desk, so dropping the future loses nothing.
    pub(super) async fn asked(&self) {
        loop {
            let asked = self.asked.notified();
            if self.waiting().iter().any(|request| !request.done.is_closed()) {
                return;
            }
            asked.await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Request>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the lanes of a topic stand at a position of the store.
pub(super) struct Before {
    pub(super) event_id: Option<EventId>,
    /// Per partition, the position of the last message at or before it: the `previous` of the next. Zero where there is
    /// none.
    pub(super) last: BTreeMap<u32, u64>,
}
