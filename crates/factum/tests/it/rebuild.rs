//! Read models built anew while they answer.

mod kept;
mod pace;
mod parked;
mod replaced;
mod stores;
mod versions;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use factum::{
    Answers, AskError, Projection, ProjectionKey, Query, QueryError, Service,
    bus::{Bus, Headers, MemoryBus, NewRecord},
    query::AskOptions,
    read::{Epoch, Generation, Key, MemoryReadStore, ReadError, ReadSnapshot, ReadStore, Role, Table},
    rebuild::{ModelReport, Operation, RequestError, Step},
    service::settle,
    store::{EventStore, MemoryStore},
    testing::NOW,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::world::{self, Counters, TOPIC, Total, Totals, WAIT_MAX};

const TOTALS: Table<Total> = Table::of::<Totals>("totals");
const KEY: ProjectionKey = ProjectionKey::of::<Totals>();
const COUNTERS: u64 = 5;
/// How often counters are raised during one operation, at most.
const RAISED_MAX: u64 = 100;

/// What all counters have come to.
#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "sum", reads(Totals))]
struct GetSum {}

impl Answers for GetSum {
    type Answer = u64;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<u64, QueryError> {
        let mut sum = 0;
        for counter in 0..COUNTERS {
            sum += TOTALS.get(read, &key(counter))?.unwrap_or_default().total;
        }
        Ok(sum)
    }
}

fn key(counter: u64) -> Key {
    Key::from(format!("counter-{counter}").as_str())
}

/// A service that is asked, and what stands before it.
struct Shop {
    store: Arc<dyn EventStore>,
    bus: Arc<dyn Bus>,
    read_store: Arc<dyn ReadStore>,
    counters: Service,
    totals: Service,
}

impl Shop {
    async fn open() -> Self {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        Self::on(store, Arc::new(MemoryBus::new()), Arc::new(MemoryReadStore::new())).await
    }

    async fn on(store: Arc<dyn EventStore>, bus: Arc<dyn Bus>, read_store: Arc<dyn ReadStore>) -> Self {
        let counters = Service::builder("shop", "counters").store(Arc::clone(&store)).bus(Arc::clone(&bus));
        let counters = counters.publishes::<Counters>().start().await.unwrap();
        let totals = totals(&bus, &read_store).await;
        Self { store, bus, read_store, counters, totals }
    }

    /// Raises every counter this often, by 1.
    async fn raise(&self, times: u64) {
        for _ in 0..times {
            for counter in 0..COUNTERS {
                world::raise(&*self.store, counter, 1).await;
            }
        }
        self.settled().await;
    }

    async fn settled(&self) {
        let settled = tokio::time::timeout(WAIT_MAX, settle(&[&self.counters, &self.totals])).await;
        settled.expect("settles in time").expect("settles");
    }

    async fn sum(&self) -> u64 {
        self.totals.queries().ask(GetSum {}).await.unwrap()
    }

    fn report(&self) -> ModelReport {
        self.totals.read_models().reports().remove(0)
    }

    /// Carries out an operation to its end, and says how it ended.
    async fn carry_out(&self, operation: Operation) -> Result<String, String> {
        self.totals.read_models().request(None, operation).unwrap();
        self.ended(operation).await
    }

    async fn ended(&self, operation: Operation) -> Result<String, String> {
        let idle = tokio::time::timeout(WAIT_MAX, self.totals.read_models().idle()).await;
        idle.unwrap_or_else(|_| panic!("{operation:?} takes too long: {:?}", self.report()));
        let last = self.report().last.expect("something was carried out");
        assert_eq!(last.operation, operation);
        last.result
    }

    fn roles(&self) -> Vec<(u32, Role)> {
        self.report().generations.iter().map(|one| (one.generation.0, one.role)).collect()
    }

    /// Changes a document behind the projection's back.
    fn tamper(&self, counter: u64, total: u64) {
        let write = |epoch| {
            self.read_store.write(KEY, epoch, &[], &mut |tx| {
                TOTALS.put(tx, &key(counter), &Total { total, positions: Vec::new() })
            })
        };
        let Err(ReadError::Fenced { current, .. }) = write(Epoch(0)) else { panic!("nobody owns it") };
        write(Epoch(current)).unwrap();
    }

    /// Stops who is asked, so that nothing of it is under way any more; what stands before it is only let go of, since a
    /// store in memory that was closed stays so.
    async fn leave(self) -> (Arc<dyn EventStore>, Arc<dyn Bus>, Arc<dyn ReadStore>) {
        self.totals.stop(WAIT_MAX).await.unwrap();
        (self.store, self.bus, self.read_store)
    }

    async fn stop(self) {
        self.totals.stop(WAIT_MAX).await.unwrap();
        self.counters.stop(WAIT_MAX).await.unwrap();
    }
}

async fn totals(bus: &Arc<dyn Bus>, read_store: &Arc<dyn ReadStore>) -> Service {
    let builder = Service::builder("shop", "totals").read_store(Arc::clone(read_store)).bus(Arc::clone(bus));
    builder.consumes::<Totals>(&[TOPIC]).answers::<GetSum>().start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_generation_answers_and_the_way_back_loses_nothing_that_happened_since() {
    let shop = Shop::open().await;
    shop.raise(20).await;
    let text = shop.carry_out(Operation::Rebuild).await.unwrap();
    assert_eq!(text, "generation 2 answers instead of 1, which is kept and fed");
    assert_eq!(shop.roles(), [(1, Role::Kept), (2, Role::Live)]);
    assert_eq!(shop.report().last.unwrap().checksum.unwrap().documents, COUNTERS);
    assert_eq!(shop.sum().await, 100);
    shop.raise(10).await;
    assert_eq!(shop.sum().await, 150);
    shop.carry_out(Operation::RollBack).await.unwrap();
    assert_eq!(shop.roles(), [(1, Role::Live), (2, Role::Kept)]);
    assert_eq!(shop.sum().await, 150, "what happened since the switch");
    shop.raise(2).await;
    assert_eq!(shop.sum().await, 160);
    // And forth again: the one that was left is fed as well.
    shop.carry_out(Operation::RollBack).await.unwrap();
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Kept), (2, Role::Live)], 160));
    assert_eq!(shop.carry_out(Operation::Discard).await.unwrap(), "dropped totals@1 generation 1 (kept)");
    assert_eq!(shop.roles(), [(2, Role::Live)]);
    assert!(shop.carry_out(Operation::RollBack).await.unwrap_err().contains("no generation is kept"));
    shop.raise(1).await;
    assert_eq!(shop.sum().await, 165);
    shop.stop().await;
}

/// Queries never fail and never go back in time, whatever is switched under them; each sees one generation only.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rebuild_under_load_is_seen_by_nobody() {
    let shop = Arc::new(Shop::open().await);
    shop.raise(50).await;
    let over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let (shop, over) = (Arc::clone(&shop), Arc::clone(&over));
            tokio::spawn(async move {
                let (mut last, mut asked) = (0, 0_u64);
                while !over.load(Ordering::SeqCst) {
                    let sum = shop.sum().await;
                    assert!(sum >= last, "back in time: {sum} after {last}");
                    (last, asked) = (sum, asked + 1);
                    tokio::task::yield_now().await;
                }
                asked
            })
        })
        .collect();
    // On a machine that is busy enough, whatever raises counters without end is faster than whatever folds that.
    let allowed = Arc::new(AtomicU64::new(0));
    let raising = {
        let (shop, over, allowed) = (Arc::clone(&shop), Arc::clone(&over), Arc::clone(&allowed));
        tokio::spawn(async move {
            let mut raised = 0;
            while !over.load(Ordering::SeqCst) {
                if raised < allowed.load(Ordering::SeqCst) {
                    world::raise(&*shop.store, raised % COUNTERS, 1).await;
                    raised += 1;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            raised
        })
    };
    for _ in 0..3 {
        for operation in [Operation::Rebuild, Operation::RollBack, Operation::Verify, Operation::Discard] {
            allowed.fetch_add(RAISED_MAX, Ordering::SeqCst);
            shop.carry_out(operation).await.unwrap();
        }
    }
    over.store(true, Ordering::SeqCst);
    let raised = raising.await.unwrap();
    for asking in asking {
        assert!(asking.await.unwrap() > 0);
    }
    shop.settled().await;
    assert_eq!(shop.sum().await, 250 + raised);
    for total in world::totals(&*shop.read_store) {
        assert!(total.positions.is_sorted_by(|a, b| a < b), "twice or out of order: {:?}", total.positions);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_differs_does_not_answer_until_it_is_told_to() {
    let shop = Shop::open().await;
    shop.raise(4).await;
    assert!(shop.carry_out(Operation::Verify).await.unwrap().starts_with("equal to a fresh fold: 5 documents"));
    shop.tamper(3, 1_000);
    let told = shop.carry_out(Operation::Verify).await.unwrap_err();
    assert!(
        told.contains("differs from a fresh fold: table totals: Key(counter-3") && !told.contains("1000"),
        "{told}"
    );
    assert_eq!(shop.roles(), [(1, Role::Live)], "what was filled to be compared is gone");
    let told = shop.carry_out(Operation::Rebuild).await.unwrap_err();
    assert!(told.contains("generation 4 differs from the live one, which stays: table totals"), "{told}");
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Live), (4, Role::Filling)], 1_016));
    let text = shop.carry_out(Operation::Replace).await.unwrap();
    assert_eq!(text, "generation 4 answers instead of 1, which is kept and fed");
    assert_eq!(shop.sum().await, 20);
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_query_is_answered_anew_when_another_generation_answers() {
    let shop = Shop::open().await;
    shop.raise(2).await;
    shop.tamper(3, 1_000);
    let mut live = shop.totals.queries().live("sum", "", AskOptions::default()).await.unwrap();
    assert_eq!(live.next().await.unwrap().document, b"1008");
    shop.carry_out(Operation::Rebuild).await.unwrap_err();
    shop.carry_out(Operation::Replace).await.unwrap();
    let told = tokio::time::timeout(WAIT_MAX, live.next()).await.expect("nothing is told although nothing moved");
    assert_eq!(told.unwrap().document, b"10");
    shop.raise(1).await;
    while tokio::time::timeout(WAIT_MAX, live.next()).await.expect("it goes on").unwrap().document != b"15" {}
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_an_end_interrupted_is_taken_up_again() {
    let shop = Shop::open().await;
    shop.raise(30).await;
    // As a process leaves it that dies while it fills: begun, and nothing or a part in it.
    let generations = shop.read_store.generations().unwrap();
    let filling = generations.begin(KEY, Role::Filling).unwrap();
    generations.begin(KEY, Role::Checking).unwrap();
    let (store, bus, read_store) = shop.leave().await;
    let shop = Shop::on(store, bus, read_store).await;
    world::eventually(|| shop.report().last, || format!("{:?}", shop.report())).await;
    assert_eq!(
        shop.ended(Operation::Rebuild).await.unwrap(),
        "generation 2 answers instead of 1, which is kept and fed"
    );
    assert_eq!(filling, Generation(2));
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Kept), (2, Role::Live)], 150));
    // Stopped and started, the one that is kept is fed.
    let (store, bus, read_store) = shop.leave().await;
    let shop = Shop::on(store, bus, read_store).await;
    shop.raise(1).await;
    shop.carry_out(Operation::RollBack).await.unwrap();
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Live), (2, Role::Kept)], 155));
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_twice_is_asked_once_and_one_thing_goes_on_at_a_time() {
    let shop = Shop::open().await;
    shop.raise(10).await;
    let models = shop.totals.read_models();
    for _ in 0..3 {
        assert_eq!(models.request(Some("totals"), Operation::Rebuild), Ok(vec![KEY]));
    }
    assert_eq!(
        models.request(None, Operation::Verify),
        Err(RequestError::Busy { projection: KEY, operation: Operation::Rebuild })
    );
    assert_eq!(models.request(Some("other"), Operation::Verify), Err(RequestError::Unknown("other".to_owned())));
    shop.ended(Operation::Rebuild).await.unwrap();
    assert_eq!(shop.roles(), [(1, Role::Kept), (2, Role::Live)], "one rebuild, not three");
    assert_eq!(shop.report().step, Step::Idle);
    shop.stop().await;
}

/// What a build no longer knows goes with the generations that do not answer.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_versions_without_code_are_discarded_when_asked_for() {
    let shop = Shop::open().await;
    // Its loop has claimed it.
    shop.raise(1).await;
    let old = ProjectionKey { name: Totals::NAME, version: 0 };
    let other = ProjectionKey { name: "other", version: 1 };
    for key in [old, other] {
        shop.read_store.claim(key).unwrap();
    }
    assert_eq!(shop.carry_out(Operation::Discard).await.unwrap(), "dropped totals@0 generation 1 (live)");
    let left = shop.read_store.generations().unwrap().models().unwrap();
    let left: Vec<_> = left.iter().map(ToString::to_string).collect();
    assert_eq!(left, ["other@1 generation 1 (live)", "totals@1 generation 1 (live)"]);
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refill_tells_how_far_it_is_and_how_long_it_may_take() {
    let shop = Shop::open().await;
    shop.raise(1).await;
    // No message: its partition stands still before it.
    let junk = NewRecord { key: "k".into(), headers: Headers::new(), value: "hello".into(), timestamp: NOW };
    shop.bus.producer().await.unwrap().produce(vec![(world::partition_of(0), junk)]).await.unwrap();
    let (store, bus, _) = shop.leave().await;
    let shop = Shop::on(store, bus, Arc::new(MemoryReadStore::new())).await;
    let far = || shop.report().progress.filter(|progress| progress.total > 0 && progress.done > 0);
    let progress = world::eventually(far, || format!("{:?}", shop.report())).await;
    assert!(progress.done < progress.total, "{progress:?}");
    let told = shop.totals.queries().ask(GetSum {}).await;
    assert!(matches!(told, Err(AskError::Rebuilding(told)) if told.total == progress.total), "{told:?}");
}
