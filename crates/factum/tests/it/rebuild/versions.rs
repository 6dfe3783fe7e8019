//! A new version of a projection at its deployment.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum::{
    Answers, AskError, Delivery, Projection, Query, QueryError, Service,
    bus::{Bus, MemoryBus},
    read::{Key, ReadError, ReadSnapshot, ReadTransaction, Table},
    rebuild::Operation,
    store::{EventStore, MemoryStore},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COUNTERS, GetSum, Shop, key};
use crate::world::{self, CounterMessage, Counters, TOPIC, Totals, WAIT_MAX};

/// The next version of the totals: it takes its time until the gate is opened.
#[derive(Default)]
struct DoubledTotals;

static GATE: AtomicBool = AtomicBool::new(false);

impl Projection for DoubledTotals {
    const NAME: &'static str = Totals::NAME;
    const VERSION: u32 = Totals::VERSION + 1;
    type Event = CounterMessage;

    fn project(&self, event: &CounterMessage, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        if !GATE.load(Ordering::SeqCst) {
            return Err(ReadError::Unavailable("not yet".into()));
        }
        let CounterMessage::Raised(raised) = event;
        let key = Key::from(from.stream.as_str());
        let doubled = DOUBLED.get(tx, &key)?.unwrap_or(0) + 2 * raised.by;
        DOUBLED.put(tx, &key, &doubled)
    }
}

const DOUBLED: Table<u64> = Table::of::<DoubledTotals>("totals");

/// The same question, asked of the next version.
#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "sum", reads(DoubledTotals))]
struct GetDoubledSum {}

impl Answers for GetDoubledSum {
    type Answer = u64;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<u64, QueryError> {
        let mut sum = 0;
        for counter in 0..COUNTERS {
            sum += DOUBLED.get(read, &key(counter))?.unwrap_or(0);
        }
        Ok(sum)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_version_is_filled_while_the_old_one_is_fed_and_answers() {
    let shop = Shop::open().await;
    shop.raise(4).await;
    let (store, bus, read_store) = shop.leave().await;
    let counters = Service::builder("shop", "counters").store(Arc::clone(&store)).bus(Arc::clone(&bus));
    let counters = counters.publishes::<Counters>().start().await.unwrap();
    let deployed = Service::builder("shop", "totals").read_store(Arc::clone(&read_store)).bus(Arc::clone(&bus));
    let deployed = deployed.consumes::<Totals>(&[TOPIC]).answers_until_whole::<GetSum>();
    let deployed = deployed.consumes::<DoubledTotals>(&[TOPIC]).answers::<GetDoubledSum>().start().await.unwrap();
    let asked = async || {
        let answer = deployed.queries().ask_named("sum", "", factum::query::AskOptions::default()).await.ok()?;
        serde_json::from_slice::<u64>(&answer).ok()
    };
    let answers = async |expected: u64| {
        let begun = std::time::Instant::now();
        loop {
            let seen = asked().await;
            if seen == Some(expected) {
                return;
            }
            assert!(begun.elapsed() < WAIT_MAX, "{seen:?} instead of {expected}");
            tokio::task::yield_now().await;
        }
    };
    answers(20).await;
    world::raise(&*store, 0, 7).await;
    answers(27).await;
    assert!(matches!(deployed.queries().ask(GetDoubledSum {}).await, Err(AskError::Rebuilding(_))));
    GATE.store(true, Ordering::SeqCst);
    answers(54).await;
    world::raise(&*store, 0, 3).await;
    answers(60).await;
    let registered: Vec<_> = deployed.read_models().reports().iter().map(|one| one.projection.to_string()).collect();
    assert_eq!(registered, ["totals@1", "totals@2"]);
    deployed.stop(WAIT_MAX).await.unwrap();
    counters.stop(WAIT_MAX).await.unwrap();

    // The next build knows the old version no more, and drops its tables when it is told to.
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let next = Service::builder("shop", "totals").read_store(Arc::clone(&read_store)).bus(bus).store(store);
    let next = next.consumes::<DoubledTotals>(&[TOPIC]).answers::<GetDoubledSum>().start().await.unwrap();
    next.read_models().request(None, Operation::Discard).unwrap();
    next.read_models().idle().await;
    assert_eq!(
        next.read_models().reports()[0].last.clone().unwrap().result.unwrap(),
        "dropped totals@1 generation 1 (live)"
    );
    next.stop(WAIT_MAX).await.unwrap();
}
