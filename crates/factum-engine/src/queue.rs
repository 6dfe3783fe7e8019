//! Appends on their way to the writer, and their answers on the way back.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::append::{CommandRecord, ExpectedVersion, Receipt};
use crate::error::AppendError;
use crate::format::encode::EncodedBatch;
use crate::index::key::BatchKeys;
use crate::lookup::{Bounded, Looked};
use crate::names::StreamName;
use crate::options::GROUP_BYTES_MAX;
use crate::shared::lock;

/// Groups of one request after which their caller is taken to be alone.
const LONE_AFTER_GROUPS: u32 = 4;
/// Of so many appends of a lone caller, one is left to the writer's thread.
const LONE_PROBE_GROUPS: u32 = 128;

type Answered = Result<Receipt, AppendError>;

enum Slot {
    Waiting(Option<Waker>),
    Answered(Answered),
    Taken,
}

/// The answer to an append that was submitted; resolves after the sync that makes it durable.
///
/// It costs no thread. Dropped, it changes nothing: the append happens all the same.
#[must_use = "the append happens, but whether it was accepted is known only from its ticket"]
pub struct Ticket {
    slot: Arc<Mutex<Slot>>,
}

impl Ticket {
    pub(crate) fn answered(answer: Answered) -> Self {
        Ticket { slot: Arc::new(Mutex::new(Slot::Answered(answer))) }
    }

    /// A ticket and the answer it waits for.
    pub(crate) fn new() -> (Ticket, Answer) {
        let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
        (Ticket { slot: slot.clone() }, Answer { slot: Some(slot) })
    }

    /// The answer, when it is there.
    pub(crate) fn try_take(&self) -> Option<Answered> {
        let mut slot = lock(&self.slot);
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Answered(answer) => Some(answer),
            waiting => {
                *slot = waiting;
                None
            }
        }
    }

    /// Blocks until the answer is there.
    pub(crate) fn wait(mut self) -> Answered {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for Ticket {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered> {
        let mut slot = lock(&self.slot);
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Answered(answer) => Poll::Ready(answer),
            Slot::Waiting(Some(waker)) if waker.will_wake(context.waker()) => {
                *slot = Slot::Waiting(Some(waker));
                Poll::Pending
            }
            Slot::Waiting(before) => {
                *slot = Slot::Waiting(Some(context.waker().clone()));
                // Dropped without the lock: it may run anything.
                drop(slot);
                drop(before);
                Poll::Pending
            }
            Slot::Taken => panic!("a ticket was polled after it had resolved"),
        }
    }
}

/// The writer's end of a ticket. Dropped without an answer, it says that the writer ended.
pub(crate) struct Answer {
    slot: Option<Arc<Mutex<Slot>>>,
}

impl Answer {
    /// Answers; returns whom to wake.
    pub(crate) fn give(mut self, answer: Answered) -> Option<Waker> {
        self.put(answer)
    }

    fn put(&mut self, answer: Answered) -> Option<Waker> {
        let slot = self.slot.take()?;
        let before = std::mem::replace(&mut *lock(&slot), Slot::Answered(answer));
        match before {
            Slot::Waiting(waker) => waker,
            Slot::Answered(_) | Slot::Taken => None,
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(waker) = self.put(Err(AppendError::Interrupted)) {
            waker.wake();
        }
    }
}

/// An append as the writer gets it.
pub(crate) struct Request {
    pub(crate) batch: EncodedBatch,
    pub(crate) streams: Vec<(StreamName, ExpectedVersion, u16)>,
    pub(crate) command: Option<CommandRecord>,
    pub(crate) bounded: Option<Bounded>,
    pub(crate) keys: BatchKeys,
    pub(crate) looked: Looked,
    pub(crate) answer: Answer,
}

/// Whether the one who queued a request now leads the writer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Leads,
    Waits,
}

/// Who may lead when nobody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    Caller,
    /// The caller only when it has been alone, else the writer's thread.
    LoneCaller,
    Nobody,
}

#[derive(Default)]
pub(crate) struct QueueState {
    requests: VecDeque<Request>,
    /// Somebody takes requests, or was asked to.
    led: bool,
    /// The writer's thread was asked to lead.
    handed: bool,
    /// No more requests are accepted.
    closing: bool,
    /// The writer's thread shall end.
    ended: bool,
    /// A leader panicked.
    broken: bool,
    /// Groups of one request in a row, while syncing is quick.
    lone_groups: u32,
}

impl QueueState {
    /// Whether a caller has been alone for some time. Now and then it is treated as if it were not: tasks that share one
    /// thread look alone as long as each blocks it, and form groups once one of them does not.
    fn is_lone(&self) -> bool {
        self.lone_groups >= LONE_AFTER_GROUPS && !self.lone_groups.is_multiple_of(LONE_PROBE_GROUPS)
    }
}

/// Requests in the order they came, and who takes them: one leader at a time.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    /// Mirrors the number of requests, to be looked at without the lock.
    waiting: AtomicUsize,
    handed: Condvar,
    idle: Condvar,
}

fn wait<'a>(condition: &Condvar, state: MutexGuard<'a, QueueState>) -> MutexGuard<'a, QueueState> {
    condition.wait(state).unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// Queues a request; the role says who leads.
    pub(crate) fn push(&self, request: Request, lead: Lead, limit: usize) -> Result<Role, AppendError> {
        let mut state = lock(&self.state);
        if state.closing {
            return Err(AppendError::Closed);
        }
        if state.broken {
            return Err(AppendError::Interrupted);
        }
        if state.requests.len() >= limit {
            return Err(AppendError::Overloaded { limit });
        }
        state.requests.push_back(request);
        self.waiting.store(state.requests.len(), Ordering::Relaxed);
        if state.led || lead == Lead::Nobody {
            return Ok(Role::Waits);
        }
        state.led = true;
        if lead == Lead::Caller || state.is_lone() {
            return Ok(Role::Leads);
        }
        state.handed = true;
        drop(state);
        self.handed.notify_one();
        Ok(Role::Waits)
    }

    /// The requests of the next group, by the leader; fewer than wait when they are too large for one.
    pub(crate) fn take(&self, group: &mut Vec<Request>) {
        let mut state = lock(&self.state);
        let mut bytes = 0;
        while let Some(next) = state.requests.front() {
            bytes += next.batch.bytes.len();
            if bytes > GROUP_BYTES_MAX && !group.is_empty() {
                break;
            }
            group.extend(state.requests.pop_front());
        }
        self.waiting.store(state.requests.len(), Ordering::Relaxed);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// By the leader: a group of one request, on a quick disk, makes its caller look alone.
    pub(crate) fn note_group(&self, lone: bool) {
        let mut state = lock(&self.state);
        state.lone_groups = if lone { state.lone_groups.wrapping_add(1) } else { 0 };
    }

    /// Becomes the leader, unless there is one.
    pub(crate) fn try_lead(&self) -> bool {
        let mut state = lock(&self.state);
        !std::mem::replace(&mut state.led, true)
    }

    /// Stops leading if nothing waits; else the leader stays one.
    pub(crate) fn leave_if_empty(&self) -> bool {
        let mut state = lock(&self.state);
        if !state.requests.is_empty() {
            return false;
        }
        state.led = false;
        drop(state);
        self.idle.notify_all();
        true
    }

    /// Stops leading; what waits is led by the writer's thread, if there is one.
    pub(crate) fn leave(&self, thread: bool) {
        let mut state = lock(&self.state);
        let hand = thread && !state.requests.is_empty();
        state.handed |= hand;
        state.led = hand;
        drop(state);
        if hand { self.handed.notify_one() } else { self.idle.notify_all() }
    }

    /// After a panic of the leader nobody may lead again; who waits learns that the writer ended.
    pub(crate) fn break_off(&self) {
        let mut state = lock(&self.state);
        state.broken = true;
        state.led = false;
        let abandoned = std::mem::take(&mut state.requests);
        drop(state);
        drop(abandoned);
        self.idle.notify_all();
    }

    /// By the writer's thread: waits until it shall lead; `false` when it shall end.
    pub(crate) fn wait_for_lead(&self) -> bool {
        let mut state = lock(&self.state);
        while !state.handed && !state.ended {
            state = wait(&self.handed, state);
        }
        std::mem::replace(&mut state.handed, false)
    }

    /// Refuses further requests and waits until nobody leads; then the caller does.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        while state.led {
            state = wait(&self.idle, state);
        }
        state.led = true;
    }

    pub(crate) fn end_thread(&self) {
        lock(&self.state).ended = true;
        self.handed.notify_all();
    }
}
