//! Stores and buses that fail, or never answer, at the n-th call.

mod bus;

use std::{
    future::Future,
    sync::{Arc, Condvar, Mutex},
};

use factum::{
    ProjectionKey,
    bus::BusError,
    read::{Checkpoint, CheckpointMove, Epoch, Lane, ReadError, ReadSnapshot, ReadStore, ReadTransaction},
    store::{EventStore, StoreError},
    testing::{self, FaultyStore, Interference, StoreCall},
};
use tokio::sync::Semaphore;

use self::bus::FaultyBus;
use crate::world::World;

/// What happens at the n-th call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and had no effect.
    FailBefore,
    /// It fails although it had its effect; a call with several effects had some of them.
    FailAfter,
    /// Its caller dies before it.
    DieBefore,
    /// Its caller dies after it; a call with several effects had some of them.
    DieAfter,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::FailBefore, Self::FailAfter, Self::DieBefore, Self::DieAfter];

    const fn is_before(self) -> bool {
        matches!(self, Self::FailBefore | Self::DieBefore)
    }

    const fn is_death(self) -> bool {
        matches!(self, Self::DieBefore | Self::DieAfter)
    }
}

/// One fault at one call, counted over everything that shares it.
#[derive(Clone)]
pub struct Faults(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

struct State {
    calls: u64,
    at: u64,
    fault: Fault,
    dead: bool,
    released: bool,
    armed: Option<&'static str>,
    bus_down: bool,
    progress_stuck: bool,
    stuck_calls: u64,
    /// A fault by chance at one call of so many.
    chance: Option<(fastrand::Rng, u64)>,
    site: Option<&'static str>,
}

impl Faults {
    /// The fault happens at call number `at`, from 1.
    pub fn new(at: u64, fault: Fault) -> Self {
        let state = State {
            calls: 0,
            at,
            fault,
            dead: false,
            released: false,
            armed: None,
            bus_down: false,
            progress_stuck: false,
            stuck_calls: 0,
            chance: None,
            site: None,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), released: Condvar::new() }))
    }

    /// No fault, until one is armed.
    pub fn none() -> Self {
        Self::new(0, Fault::FailBefore)
    }

    /// Faults of all kinds by chance, at about one call of so many.
    pub fn by_chance(seed: u64, one_of: u64) -> Self {
        let faults = Self::none();
        faults.0.state.lock().unwrap().chance = Some((fastrand::Rng::with_seed(seed), one_of));
        faults
    }

    /// The fault happens at the next call of this kind.
    pub fn arm(&self, site: &'static str, fault: Fault) {
        let mut state = self.0.state.lock().unwrap();
        state.armed = Some(site);
        state.fault = fault;
    }

    /// Every call to the bus fails, or none any more.
    pub fn bus_is_down(&self, down: bool) {
        self.0.state.lock().unwrap().bus_down = down;
    }

    /// No progress can be written, or all again.
    pub fn progress_is_stuck(&self, stuck: bool) {
        self.0.state.lock().unwrap().progress_stuck = stuck;
    }

    /// How often progress was refused.
    pub fn stuck_calls(&self) -> u64 {
        self.0.state.lock().unwrap().stuck_calls
    }

    /// Where the fault happened, if it did.
    pub fn site(&self) -> Option<&'static str> {
        self.0.state.lock().unwrap().site
    }

    /// Whether the caller is to be killed now; says so once.
    pub fn take_death(&self) -> bool {
        std::mem::take(&mut self.0.state.lock().unwrap().dead)
    }

    /// Whether somebody is to be killed.
    pub fn is_dead(&self) -> bool {
        self.0.state.lock().unwrap().dead
    }

    /// Lets threads go that were held where their caller died.
    pub fn release(&self) {
        self.0.state.lock().unwrap().released = true;
        self.0.released.notify_all();
    }

    /// The fault of this call, if it is its turn.
    fn turn(&self, site: &'static str) -> Option<Fault> {
        let mut state = self.0.state.lock().unwrap();
        state.calls += 1;
        if state.bus_down && ["bus.", "producer.", "consumer."].iter().any(|prefix| site.starts_with(prefix)) {
            return Some(Fault::FailBefore);
        }
        if state.progress_stuck && site == "store.advance_progress" {
            state.stuck_calls += 1;
            return Some(Fault::FailBefore);
        }
        if let Some((chance, one_of)) = &mut state.chance {
            let fault = *chance.choice(&Fault::ALL)?;
            return (chance.u64(..*one_of) == 0).then_some(fault);
        }
        let armed = state.armed == Some(site);
        (armed || state.calls == state.at).then(|| {
            state.armed = None;
            state.site = Some(site);
            state.fault
        })
    }

    async fn die<T>(&self) -> T {
        self.0.state.lock().unwrap().dead = true;
        std::future::pending().await
    }

    /// A blocking call cannot be killed, only its caller: it is held until the test is over.
    fn hold(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.dead = true;
        // By chance there are too many of them to hold a thread for each.
        while !state.released && state.chance.is_none() {
            state = self.0.released.wait(state).unwrap();
        }
    }

    async fn around<T, E>(
        &self,
        site: &'static str,
        error: fn() -> E,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(fault) = self.turn(site) else { return call.await };
        if !fault.is_before() {
            call.await?;
        }
        if fault.is_death() { self.die().await } else { Err(error()) }
    }

    fn around_blocking<T>(
        &self,
        site: &'static str,
        call: impl FnOnce() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let Some(fault) = self.turn(site) else { return call() };
        if !fault.is_before() {
            call()?;
        }
        if fault.is_death() {
            self.hold();
        }
        Err(ReadError::Unavailable(Box::new(Injected)))
    }
}

/// A store at which nobody takes over before there is a permit.
pub fn gated(store: &Arc<dyn EventStore>) -> (Arc<FaultyStore>, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&gate);
    let store = FaultyStore::new(store).before(move |call, _| {
        let gate = Arc::clone(&permits);
        async move {
            if call == StoreCall::ClaimProgress {
                gate.acquire().await.unwrap().forget();
            }
            Ok(())
        }
    });
    (Arc::new(store), gate)
}

/// How many calls a story may have; beyond, it does not come to rest.
const CALLS_MAX: u64 = 600;

/// Tells a story with each fault at each of its calls in turn, until it is over before the fault. It says where the
/// fault was; each of `sites` must be there, with every fault, so many times at least.
pub async fn killed_anywhere(sites: &[(&'static str, usize)], story: impl AsyncFn(u64, Fault) -> Option<&'static str>) {
    for fault in Fault::ALL {
        let mut hit = Vec::new();
        for at in 1.. {
            assert!(at < CALLS_MAX, "with {fault:?} the story never ends: {hit:?}");
            let Some(site) = story(at, fault).await else { break };
            hit.push(site);
        }
        for (site, times_min) in sites {
            let times = hit.iter().filter(|hit| *hit == site).count();
            assert!(times >= *times_min, "{site} was hit {times} times by {fault:?}: {hit:?}");
        }
    }
}

/// The error of a fault.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("an injected fault")]
pub struct Injected;

fn bus_fails() -> BusError {
    BusError::Unavailable(Box::new(Injected))
}

fn store_fails() -> StoreError {
    StoreError::Unavailable(Box::new(Injected))
}

/// The world as its loops see it when they will meet a fault.
pub fn faulty(world: &World, faults: &Faults) -> World {
    World {
        store: faulty_store(&world.store, faults),
        bus: Arc::new(FaultyBus { inner: world.bus.clone(), faults: faults.clone() }),
        read_store: Arc::new(FaultyReadStore { inner: world.read_store.clone(), faults: faults.clone() }),
        watermarks: world.watermarks.clone(),
        runtime: world.runtime.clone(),
    }
}

/// A store whose reads and progress may meet a fault.
fn faulty_store(inner: &Arc<dyn EventStore>, faults: &Faults) -> Arc<dyn EventStore> {
    let faults = faults.clone();
    let store = FaultyStore::new(inner).on(move |call, _| {
        let site = match call {
            StoreCall::Append => "store.append",
            StoreCall::ReadStream => "store.read_stream",
            StoreCall::Command => "store.command",
            StoreCall::Read => "store.read",
            StoreCall::Heads => "store.heads",
            StoreCall::Progress => "store.progress",
            StoreCall::ClaimProgress => "store.claim_progress",
            StoreCall::AdvanceProgress => "store.advance_progress",
            _ => return Interference::None,
        };
        let Some(fault) = faults.turn(site) else { return Interference::None };
        let faults = faults.clone();
        let happens = Box::pin(async move {
            if fault.is_death() { faults.die().await } else { Err(testing::Fault::Store(store_fails())) }
        });
        if fault.is_before() { Interference::Before(happens) } else { Interference::After(happens) }
    });
    Arc::new(store)
}

struct FaultyReadStore {
    inner: Arc<dyn ReadStore>,
    faults: Faults,
}

impl ReadStore for FaultyReadStore {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        self.faults.around_blocking("read_store.claim", || self.inner.claim(projection))
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        self.faults.around_blocking("read_store.checkpoints", || self.inner.checkpoints(projection))
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.faults.around_blocking("read_store.write", || self.inner.write(projection, epoch, moves, work))
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.inner.read(work)
    }
}
