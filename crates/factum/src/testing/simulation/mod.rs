//! A whole system on one thread, driven by a seed: who runs next, what time it is, and who dies.
//!
//! Everything in this crate that takes time, a task, a thread or chance takes it from a [`Runtime`]. A [`Simulation`] is a
//! source of runtimes whose tasks it polls one at a time, in an order that follows from its seed, and whose clock moves
//! only when nobody can go on. So a failure has a number: the same seed gives the same order again.

mod bus;
mod chaos;
mod executor;
mod read;
mod steps;

use std::{sync::Arc, time::Duration};

pub use chaos::{Chaos, DELAY_MAX, Odds};
use executor::Executor;
pub use steps::{Mishap, Steps};

use crate::{
    model::Timestamp,
    runtime::{Driver, ManualClock, Runtime, Task, TaskHandle as _},
    store::BoxFuture,
};

/// The most polls of one run: far more than any story takes that ends.
pub const STEPS_MAX: u64 = 20_000_000;

/// A world on one thread, driven by a seed. Cheap to clone; clones are the same world.
///
/// ```
/// use std::time::Duration;
/// use factum::testing::Simulation;
///
/// let simulation = Simulation::new(7);
/// let process = simulation.process();
/// let runtime = process.runtime();
/// let slept = simulation.run(async move {
///     let before = runtime.now();
///     runtime.sleep(Duration::from_secs(3_600)).await;
///     runtime.now().since(before)
/// });
/// assert_eq!(slept, Duration::from_secs(3_600));
/// ```
#[derive(Clone)]
pub struct Simulation {
    executor: Arc<Executor>,
}

/// A process of a [`Simulation`]: its tasks live and die together. Cheap to clone.
#[derive(Clone)]
pub struct Process {
    executor: Arc<Executor>,
    id: u64,
}

impl Simulation {
    /// A world whose order and chance follow from a seed.
    pub fn new(seed: u64) -> Self {
        Self { executor: Executor::new(seed) }
    }

    /// A new process.
    pub fn process(&self) -> Process {
        Process { executor: Arc::clone(&self.executor), id: self.executor.new_process() }
    }

    /// Runs a future to its end, and with it every task there is. Time passes when nobody can go on otherwise.
    ///
    /// # Panics
    /// Nobody can ever go on, or it took more than [`STEPS_MAX`] polls.
    pub fn run<T: Send + 'static>(&self, root: impl Future<Output = T> + Send + 'static) -> T {
        self.executor.run(root)
    }

    /// A random number below `bound`, from the seed; 0 when `bound` is 0.
    pub fn random_below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.executor.clock().random() % bound }
    }

    /// A number that stands for the order of everything so far: two runs that differ in anything have different ones.
    pub fn trace(&self) -> u64 {
        self.executor.trace()
    }

    /// How many polls there were.
    pub fn steps(&self) -> u64 {
        self.executor.steps()
    }
}

impl Process {
    /// Where the process has time, chance, tasks and threads from.
    pub fn runtime(&self) -> Runtime {
        Runtime::new(Arc::new(self.clone()))
    }

    /// Ends it where it stands: none of its tasks is polled again, and none of its threads begins what it has not begun.
    /// What is being polled now is polled to its next await point.
    pub fn kill(&self) {
        self.executor.kill(self.id);
    }

    /// Lets it stand still, as a machine does that is suspended: none of its tasks is polled until [`Process::resume`]; then
    /// they go on where they were, however late it is by then. What is being polled now is polled to its next await point.
    pub fn pause(&self) {
        self.executor.pause(self.id);
    }

    /// Lets it go on after [`Process::pause`].
    pub fn resume(&self) {
        self.executor.resume(self.id);
    }

    /// Waits until it is killed.
    pub async fn died(&self) {
        std::future::poll_fn(|context| self.executor.poll_dead(self.id, context)).await;
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.executor.is_dead(self.id)
    }

    fn clock(&self) -> &ManualClock {
        self.executor.clock()
    }
}

impl Driver for Process {
    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    fn random(&self) -> u64 {
        self.clock().random()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        Task::new(self.executor.spawn(self.id, task))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock().sleep(duration)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let mut thread = self.executor.spawn(self.id, Box::pin(async move { work() }));
        Box::pin(async move {
            // It catches its own panics; of a process that died nobody waits.
            let _ = std::future::poll_fn(|context| thread.poll_join(context)).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Three tasks that take turns with each other, with sleeps and threads, and write down who ran.
    fn story(seed: u64) -> (Vec<u32>, u64) {
        let simulation = Simulation::new(seed);
        let runtime = simulation.process().runtime();
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        simulation.run(async move {
            let mut tasks: Vec<Task> = (0..3)
                .map(|name| {
                    let (runtime, log) = (runtime.clone(), Arc::clone(&log));
                    runtime.clone().spawn(async move {
                        for _ in 0..5 {
                            let log = Arc::clone(&log);
                            runtime.blocking(move || log.lock().unwrap().push(name)).await.unwrap();
                            runtime.sleep(Duration::from_millis(runtime.random_below(3))).await;
                        }
                    })
                })
                .collect();
            for task in &mut tasks {
                task.join().await.unwrap();
            }
        });
        let told = told.lock().unwrap().clone();
        (told, simulation.trace())
    }

    #[test]
    fn the_same_seed_gives_the_same_order_and_another_one_another() {
        assert_eq!(story(7), story(7));
        assert!((0..20).map(story).any(|other| other != story(7)));
        assert_eq!(story(7).0.len(), 15);
    }

    #[test]
    fn a_process_that_is_killed_does_nothing_more_and_the_others_go_on() {
        let simulation = Simulation::new(1);
        let (dying, living) = (simulation.process(), simulation.process());
        let done = Arc::new(Mutex::new(0));
        let (count, runtime) = (Arc::clone(&done), dying.runtime());
        drop(dying.runtime().spawn(async move {
            loop {
                runtime.sleep(Duration::from_millis(1)).await;
                *count.lock().unwrap() += 1;
            }
        }));
        let runtime = living.runtime();
        simulation.run(async move {
            runtime.sleep(Duration::from_millis(10)).await;
            dying.kill();
            assert!(dying.is_dead());
            runtime.sleep(Duration::from_millis(10)).await;
        });
        assert!((9..=10).contains(&*done.lock().unwrap()));
    }

    #[test]
    fn a_process_that_is_paused_goes_on_where_it_was_and_knows_how_late_it_is() {
        let simulation = Simulation::new(1);
        let (pausing, living) = (simulation.process(), simulation.process());
        let woken = Arc::new(Mutex::new(Vec::new()));
        let (log, runtime) = (Arc::clone(&woken), pausing.runtime());
        let began = runtime.now();
        drop(pausing.runtime().spawn(async move {
            for _ in 0..3 {
                runtime.sleep(Duration::from_secs(1)).await;
                log.lock().unwrap().push(runtime.now().since(began).as_secs());
            }
        }));
        let runtime = living.runtime();
        simulation.run(async move {
            runtime.sleep(Duration::from_millis(1_500)).await;
            pausing.pause();
            runtime.sleep(Duration::from_secs(10)).await;
            pausing.resume();
            runtime.sleep(Duration::from_secs(10)).await;
        });
        assert_eq!(*woken.lock().unwrap(), [1, 11, 12]);
    }

    #[test]
    fn a_task_that_panics_says_so_to_who_waits_for_it() {
        let simulation = Simulation::new(1);
        let runtime = simulation.process().runtime();
        let failure = simulation.run(async move { runtime.spawn(async { panic!("oh") }).join().await });
        assert_eq!(failure.unwrap_err().to_string(), "it panicked: oh");
    }

    #[test]
    #[should_panic(expected = "nobody can go on")]
    fn a_world_in_which_nobody_can_go_on_says_so() {
        Simulation::new(1).run(std::future::pending::<()>());
    }
}
