//! What can happen to a process at every call of a store or bus.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Process, Simulation};
use crate::{
    store::{EventStore, StoreError},
    testing::{Fault, FaultyStore, Interference},
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

/// Misfortune for one process, drawn from its world's seed. Cheap to clone.
#[derive(Clone)]
pub struct Chaos {
    simulation: Simulation,
    process: Process,
    odds: Odds,
    calm: Arc<AtomicBool>,
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
        Self { simulation: simulation.clone(), process: process.clone(), odds, calm: Arc::clone(calm) }
    }

    /// The store as the process sees it.
    pub fn store(&self, store: &Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        let chaos = self.clone();
        let (_, store) = FaultyStore::new(store).on(move |_, _| chaos.interfere()).shared();
        store
    }

    pub(super) fn draw(&self) -> Misfortune {
        let Odds { failure, delay, death } = self.odds;
        // Whoever still works for a process that is dead, from another one, gets no answer from it.
        if self.process.is_dead() {
            return Misfortune::DieBefore;
        }
        if self.calm.load(Ordering::SeqCst) {
            return Misfortune::None;
        }
        let chance = self.simulation.random_below(10_000);
        match chance {
            _ if chance < death / 2 => Misfortune::DieBefore,
            _ if chance < death => Misfortune::DieAfter,
            _ if chance < death + failure / 2 => Misfortune::FailBefore,
            _ if chance < death + failure => Misfortune::FailAfter,
            _ if chance < death + failure + delay => Misfortune::Delay(self.wait()),
            _ => Misfortune::None,
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

    fn wait(&self) -> Duration {
        let most = u64::try_from(DELAY_MAX.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.simulation.random_below(most))
    }

    fn interfere(&self) -> Interference {
        let chaos = self.clone();
        match self.draw() {
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

fn away() -> Fault {
    Fault::Store(StoreError::Unavailable("the simulation took it away".into()))
}
