//! What can happen to a process at every call of a store or bus.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Mishap, Process, Simulation, Steps};
use crate::{
    store::{EventStore, StoreError},
    testing::{Fault, FaultyStore, Interference, StoreCall},
};

/// How often things happen to a process: chances in 10,000 at every call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Odds {
    /// The call fails; half of the times it was done all the same.
    pub failure: u64,
    /// The call takes up to [`DELAY_MAX`].
    pub delay: u64,
    /// The process dies, before the call or after it.
    pub death: u64,
}

/// The longest time that a delayed call takes.
pub const DELAY_MAX: Duration = Duration::from_secs(2);

/// Misfortune for one process, drawn from its world's seed or planned. Cheap to clone.
#[derive(Clone)]
pub struct Chaos {
    process: Process,
    by: By,
}

/// Who decides what happens.
#[derive(Clone)]
enum By {
    Chance { simulation: Simulation, odds: Odds, calm: Arc<AtomicBool> },
    Plan { whose: Arc<str>, steps: Steps },
}

/// What a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfortune {
    None,
    /// This long before it is made.
    Delay(Duration),
    /// It is not made.
    FailBefore,
    /// It is made, and its answer is lost.
    FailAfter,
    DieBefore,
    DieAfter,
}

impl Chaos {
    /// Misfortune for a process. It ends for good, for every process that shares `calm`, once that is set.
    pub fn new(simulation: &Simulation, process: &Process, odds: Odds, calm: &Arc<AtomicBool>) -> Self {
        let by = By::Chance { simulation: simulation.clone(), odds, calm: Arc::clone(calm) };
        Self { process: process.clone(), by }
    }

    /// What is planned, for a process of this name.
    pub fn planned(process: &Process, whose: &str, steps: &Steps) -> Self {
        Self { process: process.clone(), by: By::Plan { whose: whose.into(), steps: steps.clone() } }
    }

    /// The store as the process sees it.
    pub fn store(&self, store: &Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        let chaos = self.clone();
        let (_, store) = FaultyStore::new(store).on(move |call, _| chaos.interfere(call)).shared();
        store
    }

    pub(super) fn draw(&self, call: &str) -> Misfortune {
        // Whoever still works for a process that is dead, from another one, gets no answer from it.
        if self.process.is_dead() {
            return Misfortune::DieBefore;
        }
        match &self.by {
            By::Chance { simulation, odds, calm } if !calm.load(Ordering::SeqCst) => by_chance(simulation, *odds),
            By::Chance { .. } => Misfortune::None,
            By::Plan { whose, steps } => match steps.take(whose, call) {
                None => Misfortune::None,
                Some(Mishap::FailBefore) => Misfortune::FailBefore,
                Some(Mishap::FailAfter) => Misfortune::FailAfter,
                Some(Mishap::DieBefore) => Misfortune::DieBefore,
                Some(Mishap::DieAfter) => Misfortune::DieAfter,
            },
        }
    }

    /// Nothing is done any more by a process that is dead.
    pub(super) async fn die(&self) {
        self.process.kill();
        std::future::pending().await
    }

    pub(super) async fn delay(&self, wait: Duration) {
        self.process.runtime().sleep(wait).await;
        if self.process.is_dead() {
            self.die().await;
        }
    }

    /// The same where nothing can be waited for: the process is buried before anybody sees the answer.
    pub(super) fn kill(&self) {
        self.process.kill();
    }

    fn interfere(&self, call: StoreCall) -> Interference {
        let chaos = self.clone();
        match self.draw(call.as_str()) {
            Misfortune::None => Interference::None,
            Misfortune::Delay(wait) => Interference::Before(Box::pin(async move {
                chaos.delay(wait).await;
                Ok(())
            })),
            Misfortune::FailBefore => Interference::Before(Box::pin(async { Err(away()) })),
            Misfortune::FailAfter => Interference::After(Box::pin(async { Err(away()) })),
            Misfortune::DieBefore => Interference::Before(Box::pin(async move {
                chaos.die().await;
                Ok(())
            })),
            Misfortune::DieAfter => Interference::After(Box::pin(async move {
                chaos.die().await;
                Ok(())
            })),
        }
    }
}

fn by_chance(simulation: &Simulation, Odds { failure, delay, death }: Odds) -> Misfortune {
    let wait = || {
        let most = u64::try_from(DELAY_MAX.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(simulation.random_below(most))
    };
    match simulation.random_below(10_000) {
        chance if chance < death / 2 => Misfortune::DieBefore,
        chance if chance < death => Misfortune::DieAfter,
        chance if chance < death + failure / 2 => Misfortune::FailBefore,
        chance if chance < death + failure => Misfortune::FailAfter,
        chance if chance < death + failure + delay => Misfortune::Delay(wait()),
        _ => Misfortune::None,
    }
}

fn away() -> Fault {
    Fault::Store(StoreError::Unavailable("the simulation took it away".into()))
}
