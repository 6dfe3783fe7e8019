//! The three services in processes of their own, on what outlives them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use factum::{
    EventStore, Position, Runtime, Service,
    bus::{Bus, MemoryBus},
    read::{MemoryReadStore, ReadStore},
    runtime::Task,
    service::ServiceBuilder,
    store::MemoryStore,
    testing::{Chaos, Odds, Process, Simulation, settle},
};

use statements::messages::ACCOUNT_TOPIC;

use crate::{
    Tally, audit,
    clerk::Clerk,
    client::Ledger,
    diary::{Diary, ReadDiary},
    outside::{OfHeard, OfOwn, Teller, Told},
};

/// The longest time between a death and the next start.
const DOWN_MAX: Duration = Duration::from_secs(3);
/// After one in so many deaths a service is away for longer.
const OUTAGES_ONE_IN: u64 = 6;
/// For up to this long then: deadlines of transfers pass meanwhile.
const OUTAGE_MAX: Duration = Duration::from_secs(90);
/// How long everything may take to come to rest, by the clock of the simulation.
const REST_MAX: Duration = Duration::from_secs(3_600);
/// How long one look at whether everything has come to rest may take.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// How long a process may stand still before it goes on.
const SUSPENDED_MAX: Duration = Duration::from_secs(40);
/// The topic of commands.
pub(crate) const COMMAND_TOPIC: &str = "bank.accounts.commands.transfers";

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Accounts,
    Transfers,
    Statements,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Accounts, Self::Transfers, Self::Statements];
}

/// The bank and everything it stands on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct World {
    inner: Arc<Inner>,
}

struct Inner {
    simulation: Simulation,
    outside: Runtime,
    odds: Odds,
    calm: Arc<AtomicBool>,
    /// The services' instances share their stores: one that was displaced returns when the other one is gone.
    shared: bool,
    bus: MemoryBus,
    /// A copy of the accounts' store, as long as it is of the present history.
    backup: Mutex<Option<(Kind, MemoryStore)>>,
    /// What was put on the topic of commands and is none.
    junk: Mutex<Vec<String>>,
    /// That topic lost records, perhaps before anybody had seen them.
    commands_lost: AtomicBool,
    stores: Mutex<BTreeMap<Kind, MemoryStore>>,
    read: Mutex<Arc<dyn ReadStore>>,
    running: Mutex<BTreeMap<Kind, Running>>,
    /// Processes that are starting: they have a store already.
    starting: Mutex<BTreeMap<u64, (Kind, Process)>>,
    starts: AtomicU64,
    keepers: Mutex<Vec<Task>>,
    twins: Mutex<Vec<Running>>,
    deaths: AtomicU64,
    losses: AtomicU64,
    twin_count: AtomicU64,
    rebuilds: AtomicU64,
    decisions: AtomicU64,
    told: Told,
}

/// A service, and the process it lives in.
#[derive(Clone)]
struct Running {
    kind: Kind,
    service: Arc<Service>,
    process: Process,
}

impl World {
    pub(crate) fn new(simulation: &Simulation, odds: Odds) -> Self {
        let seed = || simulation.random_below(u64::MAX);
        let stores = Kind::ALL.map(|kind| (kind, MemoryStore::seeded(seed())));
        let inner = Inner {
            simulation: simulation.clone(),
            outside: simulation.process().runtime(),
            odds,
            calm: Arc::default(),
            shared: simulation.random_below(2) == 0,
            bus: MemoryBus::new(),
            backup: Mutex::default(),
            junk: Mutex::default(),
            commands_lost: AtomicBool::new(false),
            stores: Mutex::new(stores.into()),
            read: Mutex::new(Arc::new(MemoryReadStore::new())),
            running: Mutex::default(),
            starting: Mutex::default(),
            starts: AtomicU64::new(0),
            keepers: Mutex::default(),
            twins: Mutex::default(),
            deaths: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            twin_count: AtomicU64::new(0),
            rebuilds: AtomicU64::new(0),
            decisions: AtomicU64::new(0),
            told: Told::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Opens the bank: each service is started, and again whenever its process has died.
    pub(crate) fn open(&self) {
        for kind in Kind::ALL {
            let world = self.clone();
            let keeper = self.runtime().spawn(async move {
                loop {
                    if let Some(running) = world.start(kind).await {
                        lock(&world.inner.running).insert(kind, running.clone());
                        running.process.died().await;
                        lock(&world.inner.running).remove(&kind);
                    }
                    world.inner.deaths.fetch_add(1, Ordering::SeqCst);
                    let outage = world.random_below(OUTAGES_ONE_IN) == 0;
                    world.pause(if outage { OUTAGE_MAX } else { DOWN_MAX }).await;
                }
            });
            lock(&self.inner.keepers).push(keeper);
        }
    }

    /// Everything calm, and everything started once more.
    pub(crate) async fn calm_down(&self) {
        self.inner.calm.store(true, Ordering::SeqCst);
        lock(&self.inner.keepers).drain(..).for_each(|keeper| keeper.abort());
        for kind in Kind::ALL {
            self.kill(kind);
        }
        lock(&self.inner.twins).drain(..).for_each(|twin| twin.process.kill());
        for kind in Kind::ALL {
            let running = self.start(kind).await.expect("nobody dies any more");
            lock(&self.inner.running).insert(kind, running);
        }
    }

    /// Everything calm, until nothing is under way and every transfer has ended.
    pub(crate) async fn put_in_order(&self, ledger: &Ledger) {
        self.calm_down().await;
        self.ended(ledger).await;
    }

    /// Until nothing is under way and every transfer has ended.
    pub(crate) async fn ended(&self, ledger: &Ledger) {
        let runtime = self.runtime();
        let until = runtime.now().plus(REST_MAX);
        loop {
            let services: Vec<_> = Kind::ALL.into_iter().filter_map(|kind| self.service(kind)).collect();
            let services: Vec<&Service> = services.iter().map(AsRef::as_ref).collect();
            let settled = runtime.within(SETTLE_MAX, settle(&services)).await;
            let open = audit::open_transfers(self, ledger).await;
            if matches!(settled, Some(Ok(()))) && open.is_empty() {
                return;
            }
            if runtime.now() > until {
                let loops = services.iter().flat_map(|service| service.health().loops());
                let loops: String = loops
                    .map(|(name, at)| {
                        let (state, position, target) = (at.state.as_str(), at.position, at.target);
                        format!("\n{name}: {state} at {position} of {target}, {:?} {:?}", at.last_error, at.alarms)
                    })
                    .collect();
                panic!("never at rest: {settled:?}, open transfers: {open:?}{loops}");
            }
            runtime.sleep(Duration::from_secs(5)).await;
        }
    }

    /// Everything calm, until nothing is under way but what stands still for a reason.
    pub(crate) async fn come_to_rest(&self) {
        self.calm_down().await;
        let services: Vec<_> = Kind::ALL.into_iter().filter_map(|kind| self.service(kind)).collect();
        let services: Vec<&Service> = services.iter().map(AsRef::as_ref).collect();
        let _ = self.runtime().within(SETTLE_MAX, settle(&services)).await;
        // A lane that is beyond a fork counts as arrived; that it stands still is noticed when its partition is read.
        self.runtime().sleep(SETTLE_MAX).await;
    }

    /// One of the services, if it runs.
    pub(crate) fn service(&self, kind: Kind) -> Option<Arc<Service>> {
        lock(&self.inner.running).get(&kind).map(|running| Arc::clone(&running.service))
    }

    /// Time and tasks of who is outside the bank.
    pub(crate) fn runtime(&self) -> Runtime {
        self.inner.outside.clone()
    }

    pub(crate) fn random_below(&self, bound: u64) -> u64 {
        self.inner.simulation.random_below(bound)
    }

    /// Waits for a while.
    pub(crate) async fn pause(&self, most: Duration) {
        let micros = u64::try_from(most.as_micros()).expect("is short");
        self.runtime().sleep(Duration::from_micros(self.random_below(micros))).await;
    }

    pub(crate) fn bus(&self) -> &MemoryBus {
        &self.inner.bus
    }

    pub(crate) fn store(&self, kind: Kind) -> MemoryStore {
        lock(&self.inner.stores)[&kind].clone()
    }

    /// Ends a service where it stands.
    pub(crate) fn kill(&self, kind: Kind) {
        if let Some(running) = lock(&self.inner.running).get(&kind) {
            running.process.kill();
        }
        lock(&self.inner.starting).values().filter(|(of, _)| *of == kind).for_each(|(_, process)| process.kill());
    }

    /// A backup is made.
    pub(crate) fn back_up(&self, kind: Kind) {
        *lock(&self.inner.backup) = Some((kind, self.store(kind).copied()));
    }

    /// The event store comes back under a new incarnation: from the backup, if there is one of it, or from what is left of
    /// it, without its last `lost` events. With the progress that is there, or without any, as when that is damaged.
    pub(crate) async fn restore(&self, kind: Kind, lost: u64) {
        self.kill(kind);
        lock(&self.inner.twins).drain(..).for_each(|twin| twin.process.kill());
        let backup = lock(&self.inner.backup).take().filter(|(of, _)| *of == kind && lost > 0);
        let restored = match backup {
            Some((_, copy)) => copy.restored_with_progress_at(Position::MAX),
            None => {
                let store = self.store(kind);
                let head = store.heads().await.expect("is in memory").synced.get();
                let to = Position::new(head.saturating_sub(lost));
                let with_progress = self.random_below(2) == 0;
                if with_progress { store.restored_with_progress_at(to) } else { store.restored_at(to) }
            }
        };
        lock(&self.inner.stores).insert(kind, restored);
    }

    /// The read database is lost.
    pub(crate) fn lose_read_database(&self) {
        self.kill(Kind::Statements);
        *lock(&self.inner.read) = Arc::new(MemoryReadStore::new());
    }

    /// Whether nothing happens any more.
    pub(crate) fn is_calm(&self) -> bool {
        self.inner.calm.load(Ordering::SeqCst)
    }

    /// What was told outside.
    pub(crate) fn told(&self) -> &Told {
        &self.inner.told
    }

    pub(crate) fn note_rebuild(&self) {
        self.inner.rebuilds.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn note_decision(&self) {
        self.inner.decisions.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether displaced instances return.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.shared
    }

    /// Something is put on the topic of commands that is none.
    pub(crate) fn note_junk(&self, text: String) {
        lock(&self.inner.junk).push(text);
    }

    /// What of that must have been put aside: all of it, unless the topic lost some before anybody saw it.
    pub(crate) fn junk(&self) -> Vec<String> {
        let lost = self.inner.commands_lost.load(Ordering::SeqCst);
        if lost { Vec::new() } else { lock(&self.inner.junk).clone() }
    }

    pub(crate) fn note_loss_on(&self, topic: &str) {
        if topic == COMMAND_TOPIC {
            self.inner.commands_lost.store(true, Ordering::SeqCst);
        }
        self.note_loss();
    }

    pub(crate) fn note_loss(&self) {
        self.inner.losses.fetch_add(1, Ordering::SeqCst);
    }

    /// A second process of a service on the same stores; the first one goes on.
    pub(crate) async fn twin(&self, kind: Kind) {
        let Some(running) = self.start(kind).await else { return };
        self.inner.twin_count.fetch_add(1, Ordering::SeqCst);
        lock(&self.inner.twins).push(running);
    }

    /// A process stands still for a while, as on a machine that is suspended; meanwhile a second one takes over. Then it goes
    /// on where it was, with what it had in hand.
    pub(crate) async fn suspend(&self, kind: Kind) {
        let Some(first) = lock(&self.inner.running).get(&kind).map(|running| running.process.clone()) else { return };
        first.pause();
        let world = self.clone();
        drop(self.runtime().spawn(async move {
            world.pause(SUSPENDED_MAX).await;
            first.resume();
        }));
        self.twin(kind).await;
    }

    /// One of the second processes dies.
    pub(crate) fn kill_twin(&self) {
        let mut twins = lock(&self.inner.twins);
        let index = self.random_below(twins.len() as u64) as usize;
        if index < twins.len() {
            twins.swap_remove(index).process.kill();
        }
    }

    /// In the calm: the second processes are gone, and clients know the first ones again.
    pub(crate) fn first_ones_again(&self) {
        let mut first_ones = std::mem::take(&mut *lock(&self.inner.twins));
        for (kind, running) in lock(&self.inner.running).iter_mut() {
            let index = first_ones.iter().position(|first| first.kind == *kind).expect("each has a first one");
            std::mem::replace(running, first_ones.swap_remove(index)).process.kill();
        }
    }

    /// In the calm: a second process of each service on the same stores, which is the one that clients know from then
    /// on. The first ones go on, and are given back.
    pub(crate) async fn second_ones(&self) -> Vec<(Kind, Arc<Service>)> {
        let mut first_ones = Vec::new();
        for kind in Kind::ALL {
            let second = self.start(kind).await.expect("nobody dies any more");
            self.inner.twin_count.fetch_add(1, Ordering::SeqCst);
            if let Some(first) = lock(&self.inner.running).insert(kind, second) {
                first_ones.push((kind, Arc::clone(&first.service)));
                lock(&self.inner.twins).push(first);
            }
        }
        first_ones
    }

    pub(crate) fn deaths(&self) -> u64 {
        self.inner.deaths.load(Ordering::SeqCst)
    }

    pub(crate) fn tally(&self, tally: &mut Tally) {
        tally.losses = self.inner.losses.load(Ordering::SeqCst);
        tally.rebuilds = self.inner.rebuilds.load(Ordering::SeqCst);
        tally.decisions = self.inner.decisions.load(Ordering::SeqCst);
        tally.told = lock(self.told()).values().flat_map(BTreeMap::values).sum();
        tally.twins = self.inner.twin_count.load(Ordering::SeqCst);
    }

    /// Starts a service in a new process; `None` when it dies of it.
    async fn start(&self, kind: Kind) -> Option<Running> {
        let process = self.inner.simulation.process();
        let chaos = Chaos::new(&self.inner.simulation, &process, self.inner.odds, &self.inner.calm);
        let bus: Arc<dyn Bus> = Arc::new(self.inner.bus.clone());
        let teller = Teller { world: self.clone(), process: process.clone() };
        let mut builder = self.on_stores(kind, &chaos, teller).bus(chaos.bus(&bus)).runtime(process.runtime());
        if self.inner.shared {
            builder = builder.shares_stores();
        }
        let start = self.inner.starts.fetch_add(1, Ordering::SeqCst);
        lock(&self.inner.starting).insert(start, (kind, process.clone()));
        let started = tokio::select! {
            biased;
            () = process.died() => None,
            started = builder.start() => Some(started),
        };
        lock(&self.inner.starting).remove(&start);
        let started = started?;
        let service = Arc::new(started.unwrap_or_else(|error| panic!("{kind:?} does not start: {error}")));
        Some(Running { kind, service, process })
    }

    fn on_stores(&self, kind: Kind, chaos: &Chaos, teller: Teller) -> ServiceBuilder {
        let store = || {
            let store: Arc<dyn EventStore> = Arc::new(self.store(kind));
            chaos.store(&store)
        };
        match kind {
            Kind::Accounts => accounts::builder().store(store()).reacts(OfOwn(teller)),
            Kind::Transfers => transfers::builder().store(store()).manages::<Clerk>(),
            Kind::Statements => statements::builder()
                .store(store())
                .read_store(chaos.read_store(&lock(&self.inner.read)))
                .consumes::<Diary>(&[ACCOUNT_TOPIC])
                .answers::<ReadDiary>()
                .reacts(OfHeard(teller)),
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
