//! How much of the time a rebuild works, where messages come faster than it folds them.

use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use factum::{
    Delivery, Projection, Service,
    bus::{Bus, MemoryBus},
    model::Timestamp,
    read::{Key, MemoryReadStore, ReadError, ReadTransaction, Role, Table},
    rebuild::{FillingPace, Operation},
    runtime::{Driver, Runtime, Task},
    store::{BoxFuture, EventStore, MemoryStore},
    testing::{Process, Simulation},
};

use crate::world::{self, CounterMessage, Counters, TOPIC};

/// How long one message takes: what answers folds 50 a second, a filling 17.
const EACH: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
const COUNTERS: u64 = 5;
const LEAST: u32 = FillingPace::SHARE_PERCENT_DEFAULT;

thread_local! {
    /// Messages folded in the work at hand: everything runs on one thread.
    static FOLDED: Cell<u32> = const { Cell::new(0) };
}

/// Counts what it hears, slowly.
#[derive(Default)]
struct Slow;

const COUNTS: Table<u64> = Table::of::<Slow>("counts");

impl Projection for Slow {
    const NAME: &'static str = "slow";
    const VERSION: u32 = 1;
    type Event = CounterMessage;

    fn project(&self, _: &CounterMessage, delivery: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        FOLDED.set(FOLDED.get() + 1);
        let key = Key::from(delivery.stream.as_str());
        let count = COUNTS.get(tx, &key)?.unwrap_or_default() + 1;
        COUNTS.put(tx, &key, &count)
    }
}

/// A process whose folding takes time.
struct Laden(Process);

impl Driver for Laden {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        self.0.spawn(task)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let (process, folded) = (self.0.clone(), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&folded);
        let work = self.0.blocking(Box::new(move || {
            FOLDED.set(0);
            work();
            counted.store(FOLDED.get(), Ordering::SeqCst);
        }));
        Box::pin(async move {
            work.await;
            process.sleep(EACH * folded.load(Ordering::SeqCst)).await;
        })
    }
}

/// A shop to whose counters something happens so often a second.
struct Busy {
    runtime: Runtime,
    slow: Service,
    per_second: Arc<AtomicU32>,
    /// The shares that were shown.
    shown: Arc<Mutex<BTreeSet<u32>>>,
}

impl Busy {
    async fn open(process: &Process, before: u32) -> Self {
        let runtime = Runtime::new(Arc::new(Laden(process.clone())));
        let (store, bus): (Arc<dyn EventStore>, Arc<dyn Bus>) =
            (Arc::new(MemoryStore::seeded(1)), Arc::new(MemoryBus::new()));
        let counters = Service::builder("shop", "counters").runtime(runtime.clone()).store(Arc::clone(&store));
        let counters = counters.bus(Arc::clone(&bus)).publishes::<Counters>().start().await.unwrap();
        for number in 0..before {
            world::raise(&*store, u64::from(number) % COUNTERS, 1).await;
        }
        let slow = Service::builder("shop", "slow").runtime(runtime.clone()).bus(bus);
        let slow = slow.read_store(Arc::new(MemoryReadStore::new())).consumes::<Slow>(&[TOPIC]).start().await.unwrap();
        // All of it is folded by what answers, before anything else happens.
        runtime.sleep(EACH * before + SECOND).await;
        let per_second = Arc::new(AtomicU32::new(0));
        let (clock, often) = (runtime.clone(), Arc::clone(&per_second));
        drop(runtime.spawn(async move {
            let _counters = counters;
            for number in 0.. {
                let (pause, happens) = match often.load(Ordering::SeqCst) {
                    0 => (SECOND, false),
                    often => (SECOND / often, true),
                };
                clock.sleep(pause).await;
                if happens {
                    world::raise(&*store, number % COUNTERS, 1).await;
                }
            }
        }));
        Self { runtime, slow, per_second, shown: Arc::default() }
    }

    fn happens(&self, per_second: u32) {
        self.per_second.store(per_second, Ordering::SeqCst);
    }

    /// The share of the generation that has this role.
    fn share(&self, role: Role) -> Option<u32> {
        let report = self.slow.read_models().reports().remove(0);
        report.generations.iter().find(|one| one.role == role).and_then(|one| one.share_percent)
    }

    /// Rebuilds, and says how that ended; within this time.
    async fn rebuilt(&self, limit: Duration) -> Result<String, String> {
        let models = self.slow.read_models();
        models.request(None, Operation::Rebuild).unwrap();
        let looks = async {
            loop {
                self.shown.lock().unwrap().extend(self.share(Role::Filling));
                self.runtime.sleep(SECOND).await;
            }
        };
        let ended = self.runtime.within(limit, async {
            tokio::select! {
                biased;
                () = models.idle() => {}
                () = looks => {}
            }
        });
        assert!(ended.await.is_some(), "{:?}", models.reports());
        models.reports().remove(0).last.unwrap().result
    }

    fn shown(&self) -> Vec<u32> {
        self.shown.lock().unwrap().iter().copied().collect()
    }
}

/// A world of its own for each story; the same one each time.
fn told<T: Send + 'static>(story: impl FnOnce(Process) -> BoxFuture<'static, T>) -> T {
    let simulation = Simulation::new(1);
    simulation.run(story(simulation.process()))
}

/// 25 messages come a second, and at its first share a filling folds 17: it would never arrive.
#[test]
fn a_rebuild_that_comes_no_nearer_works_more_until_it_arrives_and_less_when_it_may() {
    told(|process| {
        Box::pin(async move {
            let busy = Busy::open(&process, 150).await;
            busy.happens(25);
            let text = busy.rebuilt(300 * SECOND).await.unwrap();
            assert_eq!(text, "generation 2 answers instead of 1, which is kept and fed");
            assert_eq!(busy.shown(), [LEAST, 50, 75], "step by step, and not more than needed");
            assert_eq!(busy.share(Role::Live), None, "it is no longer beside anything");
            // So is the one that is kept: a way back needs it near.
            busy.runtime.sleep(60 * SECOND).await;
            assert_eq!(busy.share(Role::Kept), Some(75));
            busy.happens(5);
            busy.runtime.sleep(60 * SECOND).await;
            assert_eq!(busy.share(Role::Kept), Some(LEAST));
        })
    });
}

#[test]
fn a_rebuild_that_keeps_up_works_no_more_than_it_is_given() {
    told(|process| {
        Box::pin(async move {
            let busy = Busy::open(&process, 500).await;
            busy.happens(10);
            busy.rebuilt(300 * SECOND).await.unwrap();
            assert_eq!(busy.shown(), [LEAST]);
            busy.runtime.sleep(60 * SECOND).await;
            assert_eq!(busy.share(Role::Kept), Some(LEAST));
        })
    });
}

/// When what was there at the start is folded, almost as much has come meanwhile, and of that most; each time less.
#[test]
fn a_rebuild_begins_with_the_share_it_is_given_and_is_not_given_up_while_it_comes_nearer() {
    told(|process| {
        Box::pin(async move {
            let busy = Busy::open(&process, 1_000).await;
            let pace = FillingPace { share_percent: 60, ..FillingPace::default() };
            busy.slow.read_models().set_pace(pace);
            busy.happens(22);
            busy.rebuilt(600 * SECOND).await.unwrap();
            assert_eq!(busy.shown(), [60]);
        })
    });
}
