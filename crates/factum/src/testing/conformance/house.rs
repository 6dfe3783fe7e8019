//! A service that keeps dying, and what outlives it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{CALM, diary::Diary};
use crate::{
    bus::{Bus, MemoryBus},
    model::Timestamp,
    quarantine::QUARANTINE_ALARM,
    read::{MemoryReadStore, ReadStore},
    rebuild::Operation,
    runtime::{Runtime, Task},
    service::{Service, ServiceBuilder},
    store::{EventStore, MemoryStore},
    testing::{Chaos, Odds, Process, Simulation, settle},
};

/// The longest time between a death and the next start.
const DOWN_MAX: Duration = Duration::from_millis(500);
/// The store is the same one in every run: what is derived from its identity is, too.
const STORE_SEED: u64 = 1;
/// How long it may take until nothing is under way, by the clock of the simulation.
const REST_MAX: Duration = Duration::from_secs(600);

/// What a service is put together on.
pub(super) struct Parts {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) read_store: Arc<dyn ReadStore>,
    /// Who else may have bad luck in this process.
    pub(super) luck: Luck,
}

/// Luck with what is outside of stores and buses.
#[derive(Clone)]
pub(super) struct Luck {
    simulation: Simulation,
    runtime: Runtime,
    odds: Odds,
    calm: Arc<AtomicBool>,
}

/// Puts the service together whose handler is tried.
pub(super) type Assemble = Arc<dyn Fn(Parts) -> ServiceBuilder + Send + Sync>;

/// Where the service lives, dies, and is started again. Cheap to clone.
#[derive(Clone)]
pub(super) struct House {
    inner: Arc<Inner>,
}

struct Inner {
    simulation: Simulation,
    outside: Runtime,
    odds: Odds,
    calm: Arc<AtomicBool>,
    assemble: Assemble,
    bus: MemoryBus,
    store: Arc<dyn EventStore>,
    read: Mutex<Arc<dyn ReadStore>>,
    running: Mutex<Option<Running>>,
    twins: Mutex<Vec<Running>>,
    keeper: Mutex<Option<Task>>,
    diary: Diary,
}

#[derive(Clone)]
struct Running {
    service: Arc<Service>,
    process: Process,
}

impl Luck {
    /// Whether something goes wrong now: once in `one_in` times, until all is calm.
    pub(super) fn is_bad(&self, one_in: u64) -> bool {
        let disturbed = self.odds != CALM && !self.calm.load(Ordering::SeqCst);
        disturbed && self.simulation.random_below(one_in) == 0
    }

    /// A moment passes.
    pub(super) async fn pause(&self, most: Duration) {
        let micros = u64::try_from(most.as_micros()).expect("is short");
        self.runtime.sleep(Duration::from_micros(self.simulation.random_below(micros))).await;
    }
}

impl House {
    pub(super) fn new(simulation: &Simulation, assemble: &Assemble, odds: Odds, diary: &Diary) -> Self {
        let inner = Inner {
            simulation: simulation.clone(),
            outside: simulation.process().runtime(),
            odds,
            calm: Arc::default(),
            assemble: Arc::clone(assemble),
            bus: MemoryBus::new(),
            store: Arc::new(MemoryStore::seeded(STORE_SEED)),
            read: Mutex::new(Arc::new(MemoryReadStore::new())),
            running: Mutex::default(),
            twins: Mutex::default(),
            keeper: Mutex::default(),
            diary: diary.clone(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn bus(&self) -> &MemoryBus {
        &self.inner.bus
    }

    pub(super) fn store(&self) -> &Arc<dyn EventStore> {
        &self.inner.store
    }

    pub(super) fn read_store(&self) -> Arc<dyn ReadStore> {
        Arc::clone(&lock(&self.inner.read))
    }

    pub(super) fn diary(&self) -> &Diary {
        &self.inner.diary
    }

    /// Starts the service, and again whenever its process has died.
    pub(super) fn open(&self) {
        let house = self.clone();
        let keeper = self.inner.outside.spawn(async move {
            loop {
                if let Some(running) = house.start().await {
                    *lock(&house.inner.running) = Some(running.clone());
                    running.process.died().await;
                    *lock(&house.inner.running) = None;
                }
                house.diary().note("the process died, at a call of a store or of the bus or between two");
                house.pause(DOWN_MAX).await;
            }
        });
        *lock(&self.inner.keeper) = Some(keeper);
    }

    /// Waits for a while.
    pub(super) async fn pause(&self, most: Duration) {
        let micros = u64::try_from(most.as_micros()).expect("is short");
        self.inner.outside.sleep(Duration::from_micros(self.inner.simulation.random_below(micros))).await;
    }

    /// The process dies where it stands.
    pub(super) fn kill(&self) {
        if let Some(running) = &*lock(&self.inner.running) {
            running.process.kill();
        }
    }

    /// A second process on the same stores; the first one goes on.
    pub(super) async fn twin(&self) {
        let Some(running) = self.start().await else { return };
        self.diary().note("a twin was started");
        lock(&self.inner.twins).push(running);
    }

    /// The read models are built anew beside those that answer.
    pub(super) fn rebuild(&self) {
        let Some(running) = lock(&self.inner.running).clone() else { return };
        if running.service.read_models().request(None, Operation::Replace).is_ok() {
            self.diary().note("a rebuild was begun");
        }
    }

    /// The read database is lost.
    pub(super) fn lose_read_database(&self) {
        let models = self.read_store();
        let generations = models.generations().expect("a read store in memory has generations");
        if generations.models().is_ok_and(|models| models.is_empty()) {
            return;
        }
        self.diary().note("the read database was deleted");
        self.bury_all();
        *lock(&self.inner.read) = Arc::new(MemoryReadStore::new());
    }

    /// No more misfortune: everything is started once more.
    pub(super) async fn calm_down(&self) {
        self.inner.calm.store(true, Ordering::SeqCst);
        if let Some(keeper) = lock(&self.inner.keeper).take() {
            keeper.abort();
        }
        self.bury_all();
        let Some(running) = self.start().await else { unreachable!("nobody dies any more") };
        *lock(&self.inner.running) = Some(running);
    }

    /// Waits until nothing is under way.
    pub(super) async fn rest(&self) {
        let running = lock(&self.inner.running).clone();
        let service = running.expect("it was started, and nobody dies any more").service;
        let rest = async {
            let settled = settle(&[&service]).await;
            service.read_models().idle().await;
            settled
        };
        match self.inner.outside.within(REST_MAX, rest).await {
            Some(Ok(())) => {}
            Some(Err(error)) => panic!("it never comes to rest: {error}{}", loops(&service)),
            None => panic!("it never comes to rest{}", loops(&service)),
        }
    }

    /// Whether nothing is parked.
    ///
    /// # Errors
    /// Something is: the handler failed over it for good.
    pub(super) fn nothing_parked(&self) -> Result<(), String> {
        let running = lock(&self.inner.running).clone();
        let loops = running.map(|running| running.service.health().loops()).unwrap_or_default();
        let parked = loops.into_iter().find_map(|(_, at)| at.alarms.get(QUARANTINE_ALARM).cloned());
        parked.map_or(Ok(()), |text| Err(format!("it failed for good: {text}")))
    }

    /// The time outside.
    pub(super) fn now(&self) -> Timestamp {
        self.inner.outside.now()
    }

    fn bury_all(&self) {
        self.kill();
        lock(&self.inner.twins).drain(..).for_each(|twin| twin.process.kill());
    }

    /// Starts the service in a new process; `None` when it dies of it.
    async fn start(&self) -> Option<Running> {
        let process = self.inner.simulation.process();
        let chaos = Chaos::new(&self.inner.simulation, &process, self.inner.odds, &self.inner.calm);
        let bus: Arc<dyn Bus> = Arc::new(self.inner.bus.clone());
        let Inner { simulation, odds, calm, .. } = self.inner.as_ref();
        let luck =
            Luck { simulation: simulation.clone(), runtime: process.runtime(), odds: *odds, calm: Arc::clone(calm) };
        let (store, read_store) = (chaos.store(&self.inner.store), chaos.read_store(&self.read_store()));
        let parts = Parts { store, read_store, luck };
        let builder = (self.inner.assemble)(parts).bus(chaos.bus(&bus)).runtime(process.runtime());
        let started = tokio::select! {
            biased;
            () = process.died() => return None,
            started = builder.start() => started,
        };
        let service = started.unwrap_or_else(|error| panic!("the service does not start: {error}"));
        Some(Running { service: Arc::new(service), process })
    }
}

/// What each loop of a service is at.
fn loops(service: &Service) -> String {
    let loops = service.health().loops().into_iter().map(|(name, at)| {
        let (state, position, target) = (at.state.as_str(), at.position, at.target);
        format!("\n  {name}: {state} at {position} of {target}, {:?} {:?}", at.last_error, at.alarms)
    });
    loops.collect()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
