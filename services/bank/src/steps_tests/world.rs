//! The three services in processes of their own, each of which dies where it is told, and what outlives them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use factum::bus::{Bus, MemoryBus};
use factum::dispatch::{CommandKey, CommandOptions, Surface};
use factum::read::{MemoryReadStore, ReadStore};
use factum::service::ServiceBuilder;
use factum::store::{EventStore, MemoryStore};
use factum::testing::{Chaos, Process, Simulation, Steps, settle};
use factum::{ActorId, DispatchError, Runtime, Service};
use serde_json::Value;

use crate::slow_bus::{HeldBack, SlowBus};

/// The time between a death and the next start: far less than a step of a transfer may take.
const DOWN: Duration = Duration::from_millis(200);
/// How long a client waits for an answer before it asks again, and between two attempts.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often a command is sent at most.
const SENDS_MAX: u32 = 100;
/// How long it may take until nothing is under way, by the clock of the simulation.
const REST_MAX: Duration = Duration::from_secs(600);

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Accounts,
    Transfers,
    Statements,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Accounts, Self::Transfers, Self::Statements];

    const fn name(self) -> &'static str {
        match self {
            Self::Accounts => accounts::NAME,
            Self::Transfers => transfers::NAME,
            Self::Statements => statements::NAME,
        }
    }
}

/// The bank and everything it stands on. Cheap to clone.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    simulation: Simulation,
    outside: Runtime,
    steps: Steps,
    bus: MemoryBus,
    slow: Arc<SlowBus>,
    accounts: Arc<dyn EventStore>,
    transfers: Arc<dyn EventStore>,
    read: Arc<dyn ReadStore>,
    running: Mutex<BTreeMap<Kind, (Arc<Service>, Process)>>,
    deaths: AtomicU64,
}

impl World {
    /// A new bank, whose services are started, and again whenever they have died.
    pub fn open(simulation: &Simulation, steps: &Steps, held_back: HeldBack) -> Self {
        let store = || Arc::new(MemoryStore::seeded(simulation.random_below(u64::MAX)));
        let bus = MemoryBus::new();
        let inner = Inner {
            simulation: simulation.clone(),
            outside: simulation.process().runtime(),
            steps: steps.clone(),
            slow: Arc::new(SlowBus::new(Arc::new(bus.clone()), held_back)),
            bus,
            accounts: store(),
            transfers: store(),
            read: Arc::new(MemoryReadStore::new()),
            running: Mutex::default(),
            deaths: AtomicU64::new(0),
        };
        let world = Self { inner: Arc::new(inner) };
        for kind in Kind::ALL {
            let world = world.clone();
            // It is not waited for: it goes on until the simulation ends.
            drop(world.runtime().spawn(async move { world.keep(kind).await }));
        }
        world
    }

    async fn keep(&self, kind: Kind) {
        loop {
            let process = self.inner.simulation.process();
            tokio::select! {
                biased;
                () = process.died() => {}
                service = self.start(kind, &process) => {
                    self.running().insert(kind, (Arc::new(service), process.clone()));
                    process.died().await;
                    self.running().remove(&kind);
                }
            }
            self.inner.deaths.fetch_add(1, Ordering::SeqCst);
            self.runtime().sleep(DOWN).await;
        }
    }

    /// Starts a service; when a call fails that a start needs, once more, as whoever watches over a process would.
    async fn start(&self, kind: Kind, process: &Process) -> Service {
        loop {
            let chaos = Chaos::planned(process, kind.name(), &self.inner.steps);
            let bus: Arc<dyn Bus> = Arc::clone(&self.inner.slow) as _;
            let builder = self.on_stores(kind, &chaos).bus(chaos.bus(&bus)).runtime(process.runtime());
            match builder.start().await {
                Ok(service) => return service,
                Err(_) => self.runtime().sleep(DOWN).await,
            }
        }
    }

    fn on_stores(&self, kind: Kind, chaos: &Chaos) -> ServiceBuilder {
        match kind {
            Kind::Accounts => accounts::builder().store(chaos.store(&self.inner.accounts)),
            Kind::Transfers => transfers::builder().store(chaos.store(&self.inner.transfers)),
            Kind::Statements => statements::builder().read_store(chaos.read_store(&self.inner.read)),
        }
    }

    /// Time and tasks of who is outside the bank.
    pub fn runtime(&self) -> Runtime {
        self.inner.outside.clone()
    }

    /// The bus itself.
    pub fn bus(&self) -> &MemoryBus {
        &self.inner.bus
    }

    /// Everything is delivered.
    pub fn let_go(&self) {
        self.inner.slow.let_go();
    }

    /// What is recorded.
    pub fn store(&self, kind: Kind) -> &Arc<dyn EventStore> {
        match kind {
            Kind::Accounts => &self.inner.accounts,
            Kind::Transfers => &self.inner.transfers,
            Kind::Statements => unreachable!("it records nothing here"),
        }
    }

    /// A service, if it runs.
    pub fn service(&self, kind: Kind) -> Option<Arc<Service>> {
        self.running().get(&kind).map(|(service, _)| Arc::clone(service))
    }

    /// How often one died.
    pub fn deaths(&self) -> u64 {
        self.inner.deaths.load(Ordering::SeqCst)
    }

    /// Sends a command until it is accepted, always under the same key.
    pub async fn send(&self, to: Kind, command: &str, body: &Value) {
        let body = body.to_string();
        let actor = ActorId::new("teller").expect("is an actor");
        let key = CommandKey::Keyed { surface: Surface::Http(actor), key: body.clone() };
        let options = CommandOptions { key, ..CommandOptions::default() };
        for _ in 0..SENDS_MAX {
            if let Some(service) = self.service(to) {
                let sending = service.commands().dispatch_named(command, body.as_bytes(), options.clone());
                match self.runtime().within(ANSWER_WAIT, sending).await {
                    Some(Ok(_)) => return,
                    Some(Err(DispatchError::Unavailable(_) | DispatchError::Contended { .. })) | None => {}
                    Some(Err(error)) => panic!("{command}: {error:?}"),
                }
            }
            self.runtime().sleep(AGAIN_AFTER).await;
        }
        panic!("{command} has no answer after {SENDS_MAX} attempts");
    }

    /// Waits until nothing is under way.
    pub async fn settled(&self) {
        let services: Vec<_> = loop {
            let services: Vec<_> = Kind::ALL.into_iter().filter_map(|kind| self.service(kind)).collect();
            if services.len() == Kind::ALL.len() {
                break services;
            }
            self.runtime().sleep(AGAIN_AFTER).await;
        };
        let services: Vec<&Service> = services.iter().map(AsRef::as_ref).collect();
        match self.runtime().within(REST_MAX, settle(&services)).await {
            Some(Ok(())) => {}
            other => {
                let loops: Vec<_> = services.iter().flat_map(|service| service.health().loops()).collect();
                panic!("never at rest: {other:?} {loops:#?}");
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Kind, (Arc<Service>, Process)>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
