//! One thread, and who runs on it next.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Wake, Waker},
};

use super::STEPS_MAX;
use crate::{
    runtime::{Driver, ManualClock, TaskFailure, TaskHandle, panic_text},
    store::BoxFuture,
};

/// The process of what is run from outside: nobody kills it.
const ROOT: u64 = 0;

pub(super) struct Executor {
    clock: ManualClock,
    state: Mutex<State>,
    own: Weak<Executor>,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Slot>,
    /// In order of their numbers, whoever woke first: libraries draw lots of their own about that.
    ready: BTreeSet<u64>,
    next_task: u64,
    next_process: u64,
    dead: BTreeSet<u64>,
    /// Processes that stand still, each with those of its tasks that would go on.
    paused: BTreeMap<u64, BTreeSet<u64>>,
    /// Who waits for the death of which process.
    mourners: Vec<(u64, Waker)>,
    steps: u64,
    trace: u64,
}

struct Slot {
    process: u64,
    /// `None` while it is being polled.
    future: Option<BoxFuture<'static, ()>>,
    end: Arc<Mutex<End>>,
    waker: Waker,
    aborted: bool,
}

/// How a task ended, for who waits for it.
#[derive(Default)]
struct End {
    result: Option<Result<(), TaskFailure>>,
    waiting: Option<Waker>,
}

pub(super) struct Handle {
    executor: Weak<Executor>,
    task: u64,
    end: Arc<Mutex<End>>,
}

struct Wakes {
    executor: Weak<Executor>,
    task: u64,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        if let Some(executor) = self.executor.upgrade() {
            executor.ready(self.task);
        }
    }
}

impl Executor {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let state = Mutex::new(State { next_process: ROOT + 1, ..State::default() });
        Arc::new_cyclic(|own| Self { clock: ManualClock::new(seed), state, own: own.clone() })
    }

    pub(super) const fn clock(&self) -> &ManualClock {
        &self.clock
    }

    pub(super) fn new_process(&self) -> u64 {
        let mut state = self.state();
        state.next_process += 1;
        state.next_process - 1
    }

    pub(super) fn kill(&self, process: u64) {
        let mourners = {
            let mut state = self.state();
            state.dead.insert(process);
            state.mourners.extract_if(.., |(of, _)| *of == process).collect::<Vec<_>>()
        };
        mourners.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(super) fn pause(&self, process: u64) {
        self.state().paused.entry(process).or_default();
    }

    pub(super) fn resume(&self, process: u64) {
        let mut state = self.state();
        if let Some(tasks) = state.paused.remove(&process) {
            state.ready.extend(tasks);
        }
    }

    pub(super) fn poll_dead(&self, process: u64, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.dead.contains(&process) {
            return Poll::Ready(());
        }
        state.mourners.push((process, context.waker().clone()));
        Poll::Pending
    }

    pub(super) fn is_dead(&self, process: u64) -> bool {
        self.state().dead.contains(&process)
    }

    pub(super) fn trace(&self) -> u64 {
        self.state().trace
    }

    pub(super) fn steps(&self) -> u64 {
        self.state().steps
    }

    pub(super) fn spawn(&self, process: u64, future: BoxFuture<'static, ()>) -> Handle {
        let end = Arc::new(Mutex::new(End::default()));
        let mut state = self.state();
        let task = state.next_task;
        state.next_task += 1;
        let waker = Waker::from(Arc::new(Wakes { executor: self.own.clone(), task }));
        let slot = Slot { process, future: Some(future), end: Arc::clone(&end), waker, aborted: false };
        state.tasks.insert(task, slot);
        state.ready.insert(task);
        Handle { executor: self.own.clone(), task, end }
    }

    pub(super) fn run<T: Send + 'static>(&self, root: impl Future<Output = T> + Send + 'static) -> T {
        let answer = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answer);
        let mut handle = self.spawn(
            ROOT,
            Box::pin(async move {
                let value = root.await;
                *lock(&slot) = Some(value);
            }),
        );
        let waker = Waker::noop();
        loop {
            if let Poll::Ready(end) = handle.poll_join(&mut Context::from_waker(waker)) {
                if let Err(failure) = end {
                    panic!("{failure}");
                }
                return lock(&answer).take().expect("the root left its answer before it ended");
            }
            self.step();
        }
    }

    /// Polls one task, or lets time pass.
    fn step(&self) {
        self.bury();
        let Some((task, mut future, waker, end)) = self.pick() else {
            let due = self.clock.next_wake().unwrap_or_else(|| panic!("nobody can go on, and nobody sleeps"));
            self.clock.advance(due.since(self.clock.now()));
            return;
        };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        let result = match polled {
            Ok(Poll::Pending) => {
                if let Some(slot) = self.state().tasks.get_mut(&task) {
                    slot.future = Some(future);
                }
                return;
            }
            Ok(Poll::Ready(())) => Ok(()),
            Err(panic) => Err(TaskFailure::Panicked(panic_text(panic.as_ref()))),
        };
        drop(future);
        self.state().tasks.remove(&task);
        finish(&end, result);
    }

    /// The next task by chance, with its future taken out.
    #[expect(clippy::type_complexity, reason = "the parts of one slot, for its one caller")]
    fn pick(&self) -> Option<(u64, BoxFuture<'static, ()>, Waker, Arc<Mutex<End>>)> {
        let chance = self.clock.random();
        let mut state = self.state();
        loop {
            if state.ready.is_empty() {
                return None;
            }
            let index = usize::try_from(chance % state.ready.len() as u64).expect("is an index");
            let task = *state.ready.iter().nth(index).expect("is an index");
            state.ready.remove(&task);
            let State { tasks, paused, .. } = &mut *state;
            let Some(slot) = tasks.get_mut(&task) else { continue };
            if let Some(later) = paused.get_mut(&slot.process) {
                later.insert(task);
                continue;
            }
            let Some(future) = slot.future.take() else { continue };
            let (waker, end) = (slot.waker.clone(), Arc::clone(&slot.end));
            state.steps += 1;
            assert!(state.steps <= STEPS_MAX, "the story takes more than {STEPS_MAX} steps: does it end?");
            // FNV-1a over the tasks in the order of their polls.
            state.trace = (state.trace ^ task).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
            return Some((task, future, waker, end));
        }
    }

    /// Lets go of the tasks that were aborted or whose process died. Their futures are dropped without the lock: what
    /// they held may wake others.
    fn bury(&self) {
        loop {
            let buried = {
                let mut state = self.state();
                let State { tasks, dead, .. } = &mut *state;
                let gone = tasks.iter().find(|(_, slot)| slot.aborted || dead.contains(&slot.process));
                let Some(task) = gone.map(|(task, _)| *task) else { return };
                tasks.remove(&task)
            };
            let Some(Slot { future, end, .. }) = buried else { return };
            drop(future);
            finish(&end, Err(TaskFailure::Aborted));
        }
    }

    fn ready(&self, task: u64) {
        let mut state = self.state();
        if state.tasks.contains_key(&task) {
            state.ready.insert(task);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn finish(end: &Mutex<End>, result: Result<(), TaskFailure>) {
    let waiting = {
        let mut end = lock(end);
        end.result = Some(result);
        end.waiting.take()
    };
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

impl TaskHandle for Handle {
    fn abort(&self) {
        if let Some(executor) = self.executor.upgrade()
            && let Some(slot) = executor.state().tasks.get_mut(&self.task)
        {
            slot.aborted = true;
        }
    }

    fn poll_join(&mut self, context: &mut Context<'_>) -> Poll<Result<(), TaskFailure>> {
        let mut end = lock(&self.end);
        match &end.result {
            Some(result) => Poll::Ready(result.clone()),
            None => {
                end.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
