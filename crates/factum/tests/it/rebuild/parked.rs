//! Rebuilds and new versions beside what is parked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum::{
    Answers, Delivery, Projection, ProjectionKey, Query, QueryError, Service,
    bus::{Bus, MemoryBus},
    query::AskOptions,
    read::{Generation, Key, MemoryReadStore, ReadError, ReadSnapshot, ReadStore, ReadTransaction, Role, Table},
    rebuild::{Checksum, Operation, checksum},
    service::{ServiceBuilder, settle},
    store::{EventStore, MemoryStore},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COUNTERS, Shop, key};
use crate::{
    operator::{because, operator},
    world::{self, CounterMessage, Counters, TOPIC, WAIT_MAX},
};

/// A message that cannot be folded in, live or in a rebuild, keeps the new generation from answering; it can be given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_generation_with_something_in_its_way_does_not_answer_and_can_be_given_up() {
    let shop = Shop::open().await;
    shop.raise(3).await;
    world::raise(&*shop.store, 0, world::POISON).await;
    let alarm = || shop.totals.health().loops().into_iter().find(|(_, report)| !report.alarms.is_empty());
    world::eventually(alarm, || "no alarm".to_owned()).await;
    let models = shop.totals.read_models();
    models.request(None, Operation::Replace).unwrap();
    let refused = shop.ended(Operation::Replace).await.unwrap_err();
    assert!(refused.starts_with("generation 2 cannot answer: 1 messages of 1 keys are parked"), "{refused}");
    assert_eq!(shop.roles(), [(1, Role::Live), (2, Role::Replacing)]);
    assert_eq!(shop.sum().await, 15);
    models.request(None, Operation::Discard).unwrap();
    assert_eq!(shop.ended(Operation::Discard).await.unwrap(), "dropped totals@1 generation 2 (replacing)");
    let alone = || (shop.roles() == [(1, Role::Live)]).then_some(());
    world::eventually(alone, || format!("{:?}", shop.roles())).await;
    shop.stop().await;
}

/// A raise by this much makes the first build's projection panic.
const PANICS_AT: u64 = 7;

/// The totals as of the build that panics on one account, and of those after it.
#[derive(Default)]
struct Build<const VERSION: u32>;

type Frail = Build<1>;
type Fixed = Build<2>;
type HalfFixed = Build<3>;
type Mended = Build<4>;

/// What answers of the half-fixed build are told by.
const OF_HALF_FIXED: u64 = 1_000;

/// Whether the half-fixed build has its other half by now.
static IS_WHOLE: AtomicBool = AtomicBool::new(false);

/// Whether what the mended build panicked on was put right, without another version.
static IS_MENDED: AtomicBool = AtomicBool::new(false);

impl<const VERSION: u32> Build<VERSION> {
    const TOTALS: Table<u64> = Table::of::<Self>("totals");

    fn panics(by: u64) -> bool {
        let panics = match VERSION {
            1 => true,
            3 => !IS_WHOLE.load(Ordering::SeqCst),
            4 => !IS_MENDED.load(Ordering::SeqCst),
            _ => false,
        };
        by == PANICS_AT && panics
    }

    fn sum(read: &mut dyn ReadSnapshot) -> Result<u64, QueryError> {
        let mut sum = if VERSION == HalfFixed::VERSION { OF_HALF_FIXED } else { 0 };
        for counter in 0..COUNTERS {
            sum += Self::TOTALS.get(read, &key(counter))?.unwrap_or(0);
        }
        Ok(sum)
    }
}

impl<const VERSION: u32> Projection for Build<VERSION> {
    const NAME: &'static str = "totals-of-builds";
    const VERSION: u32 = VERSION;
    type Event = CounterMessage;

    fn project(&self, event: &CounterMessage, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let CounterMessage::Raised(raised) = event;
        assert!(!Self::panics(raised.by), "{} is not my number", raised.by);
        let key = Key::from(from.stream.as_str());
        let total = Self::TOTALS.get(tx, &key)?.unwrap_or(0) + raised.by;
        Self::TOTALS.put(tx, &key, &total)
    }
}

macro_rules! sum_of {
    ($query:ident, $build:ident) => {
        #[derive(Serialize, Deserialize, JsonSchema, Query)]
        #[factum(name = "sum", reads($build))]
        struct $query {}

        impl Answers for $query {
            type Answer = u64;

            fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<u64, QueryError> {
                $build::sum(read)
            }
        }
    };
}

sum_of!(FrailSum, Frail);
sum_of!(FixedSum, Fixed);
sum_of!(HalfFixedSum, HalfFixed);
sum_of!(MendedSum, Mended);

async fn asked(service: &Service) -> Option<u64> {
    let answer = service.queries().ask_named("sum", "", AskOptions::default()).await.ok()?;
    serde_json::from_slice(&answer).ok()
}

/// Waits until the sum is this.
async fn answers(service: &Service, expected: u64) {
    let begun = std::time::Instant::now();
    loop {
        let seen = asked(service).await;
        if seen == Some(expected) {
            return;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{seen:?} instead of {expected}: {:?}", service.read_models().reports());
        tokio::task::yield_now().await;
    }
}

/// Carries out an operation to its end, and says how it ended.
async fn carry_out(service: &Service, operation: Operation) -> Result<String, String> {
    service.read_models().request(None, operation).unwrap();
    ended(service).await
}

async fn ended(service: &Service) -> Result<String, String> {
    let idle = tokio::time::timeout(WAIT_MAX, service.read_models().idle()).await;
    idle.unwrap_or_else(|_| panic!("it takes too long: {:?}", service.read_models().reports()));
    service.read_models().reports().remove(0).last.expect("something was carried out").result
}

/// The versions that have a key parked.
async fn parked_in(service: &Service) -> Vec<(u32, String)> {
    let listed = service.quarantine().list(10).await.unwrap();
    listed.into_iter().map(|one| (one.version.unwrap(), one.about.key)).collect()
}

async fn eventually_parked(service: &Service, expected: &[(u32, &str)]) {
    let begun = std::time::Instant::now();
    loop {
        let seen = parked_in(service).await;
        if seen.iter().map(|(version, key)| (*version, key.as_str())).eq(expected.iter().copied()) {
            return;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{seen:?} instead of {expected:?}");
        tokio::task::yield_now().await;
    }
}

/// The checksum over what the first generation of the fixed build holds.
fn documents(read_store: &dyn ReadStore) -> Checksum {
    let mut found = None;
    let generations = read_store.generations().unwrap();
    let inspected = generations.inspect(&mut |inspection| {
        found = Some(checksum(inspection, ProjectionKey::of::<Fixed>(), Generation::FIRST)?);
        Ok(())
    });
    inspected.unwrap();
    found.unwrap()
}

/// A sender, and what a build of the receiver is started on.
struct Deployments {
    store: Arc<dyn EventStore>,
    bus: Arc<dyn Bus>,
    read_store: Arc<dyn ReadStore>,
    counters: Service,
}

impl Deployments {
    /// Counters were raised, one of them by a number that the first build cannot stand.
    async fn open() -> Self {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
        let counters = Service::builder("shop", "counters").store(Arc::clone(&store)).bus(Arc::clone(&bus));
        let counters = counters.publishes::<Counters>().start().await.unwrap();
        for counter in 0..COUNTERS {
            world::raise(&*store, counter, 1).await;
        }
        world::raise(&*store, 2, PANICS_AT).await;
        for counter in 0..COUNTERS {
            world::raise(&*store, counter, 1).await;
        }
        // All of it is there before anybody reads: a version that finds nothing is whole, and answers for good.
        settle(&[&counters]).await.unwrap();
        Self { store, bus, read_store: Arc::new(MemoryReadStore::new()), counters }
    }

    fn builder(&self, read_store: &Arc<dyn ReadStore>) -> ServiceBuilder {
        // It has an event store for the decisions of its operators.
        let decisions = Arc::new(MemoryStore::seeded(9));
        let builder = Service::builder("shop", "totals").read_store(Arc::clone(read_store));
        builder.bus(Arc::clone(&self.bus)).store(decisions)
    }

    async fn raise(&self, counter: u64, by: u64) {
        world::raise(&*self.store, counter, by).await;
    }

    async fn settled(&self, service: &Service) {
        let settled = tokio::time::timeout(WAIT_MAX, settle(&[&self.counters, service])).await;
        settled.expect("settles in time").expect("settles");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fixed_build_answers_although_the_old_one_still_has_an_account_parked() {
    let shop = Deployments::open().await;
    let first = shop.builder(&shop.read_store).consumes::<Frail>(&[TOPIC]).answers::<FrailSum>();
    let first = first.start().await.unwrap();
    // One counter stands where it was; the others have flowed on.
    answers(&first, 2 * COUNTERS - 1).await;
    eventually_parked(&first, &[(1, "counter-2")]).await;
    let told = first.read_models().reports().remove(0).trouble;
    assert!(told.as_ref().is_some_and(|told| told.contains("is not my number")), "{told:?}");
    first.stop(WAIT_MAX).await.unwrap();

    let second = shop.builder(&shop.read_store).consumes::<Frail>(&[TOPIC]).answers_until_whole::<FrailSum>();
    let second = second.consumes::<Fixed>(&[TOPIC]).answers::<FixedSum>().start().await.unwrap();
    answers(&second, 2 * COUNTERS + PANICS_AT).await;
    shop.raise(2, 3).await;
    answers(&second, 2 * COUNTERS + PANICS_AT + 3).await;
    shop.settled(&second).await;
    assert_eq!(parked_in(&second).await, [(1, "counter-2".to_owned())], "it is fed, and has it parked still");
    let fixed = documents(&*shop.read_store);
    second.stop(WAIT_MAX).await.unwrap();

    // Equal to what a build that never knew the old one makes of it, and to a fresh fold beside it.
    let anew: Arc<dyn ReadStore> = Arc::new(MemoryReadStore::new());
    for read_store in [&anew, &shop.read_store] {
        let third = shop.builder(read_store).consumes::<Fixed>(&[TOPIC]).answers::<FixedSum>().start().await.unwrap();
        answers(&third, 2 * COUNTERS + PANICS_AT + 3).await;
        shop.settled(&third).await;
        assert_eq!(documents(&**read_store), fixed);
        third.read_models().request(None, Operation::Verify).unwrap();
        tokio::time::timeout(WAIT_MAX, third.read_models().idle()).await.expect("it is verified in time");
        let verified = third.read_models().reports().remove(0).last.unwrap();
        assert_eq!(verified.result.map(|text| text.starts_with("equal to a fresh fold")), Ok(true));
        assert_eq!(verified.checksum, Some(fixed));
        third.stop(WAIT_MAX).await.unwrap();
    }
    shop.counters.stop(WAIT_MAX).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_version_with_an_account_parked_does_not_answer_until_it_is_let_go() {
    let shop = Deployments::open().await;
    let build = shop.builder(&shop.read_store).consumes::<Frail>(&[TOPIC]).answers_until_whole::<FrailSum>();
    let build = build.consumes::<HalfFixed>(&[TOPIC]).answers::<HalfFixedSum>().start().await.unwrap();
    answers(&build, 2 * COUNTERS - 1).await;
    eventually_parked(&build, &[(1, "counter-2"), (3, "counter-2")]).await;
    shop.settled(&build).await;
    let told = build.read_models().reports().remove(1).trouble;
    assert!(told.as_ref().is_some_and(|told| told.contains("is not my number")), "{told:?}");
    // The old one is fed, and answers.
    shop.raise(0, 5).await;
    answers(&build, 2 * COUNTERS - 1 + 5).await;

    IS_WHOLE.store(true, Ordering::SeqCst);
    build.quarantine().retry(Build::<3>::NAME, "counter-2", operator()).await.unwrap();
    answers(&build, OF_HALF_FIXED + 2 * COUNTERS + PANICS_AT + 5).await;
    assert_eq!(parked_in(&build).await, [(1, "counter-2".to_owned())]);
    build.stop(WAIT_MAX).await.unwrap();
    shop.counters.stop(WAIT_MAX).await.unwrap();
}

/// Discarded now, it would be missing from the next rebuild of the version that has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_another_version_has_applied_cannot_be_discarded() {
    let shop = Deployments::open().await;
    let build = shop.builder(&shop.read_store).consumes::<Frail>(&[TOPIC]).answers_until_whole::<FrailSum>();
    let build = build.consumes::<Fixed>(&[TOPIC]).answers::<FixedSum>().start().await.unwrap();
    answers(&build, 2 * COUNTERS + PANICS_AT).await;
    eventually_parked(&build, &[(1, "counter-2")]).await;
    let first = build.quarantine().list(1).await.unwrap().remove(0).about.event_id;
    let discard = build.quarantine().discard(Frail::NAME, "counter-2", first, because("a robot's"), operator()).await;
    let told = discard.unwrap_err().to_string();
    assert!(told.contains("totals-of-builds@2 has applied it already"), "{told}");
    eventually_parked(&build, &[(1, "counter-2")]).await;
    build.stop(WAIT_MAX).await.unwrap();

    // Filled anew, it is what it was.
    let anew: Arc<dyn ReadStore> = Arc::new(MemoryReadStore::new());
    let build = shop.builder(&anew).consumes::<Fixed>(&[TOPIC]).answers::<FixedSum>().start().await.unwrap();
    answers(&build, 2 * COUNTERS + PANICS_AT).await;
    build.stop(WAIT_MAX).await.unwrap();
    shop.counters.stop(WAIT_MAX).await.unwrap();
}

/// The way from a read model with an account parked to a whole one, and back, with restarts at every turn: queries are
/// answered all along, and the way back is closed as long as it would lose something.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rebuild_out_of_quarantine_and_the_way_back_hold_over_restarts() {
    let shop = Deployments::open().await;
    let start = async || {
        let build = shop.builder(&shop.read_store).consumes::<Mended>(&[TOPIC]).answers::<MendedSum>();
        build.start().await.unwrap()
    };
    let (part, whole) = (2 * COUNTERS - 1, 2 * COUNTERS + PANICS_AT);
    let build = start().await;
    answers(&build, part).await;
    eventually_parked(&build, &[(4, "counter-2")]).await;
    let refused = carry_out(&build, Operation::Rebuild).await.unwrap_err();
    assert!(refused.starts_with("generation 2 cannot answer: ") && refused.contains("is not my number"), "{refused}");
    answers(&build, part).await;
    build.stop(WAIT_MAX).await.unwrap();

    // Put right; but what is parked stays so until somebody decides, in the generation that is taken up again as well.
    IS_MENDED.store(true, Ordering::SeqCst);
    let build = start().await;
    world::eventually(|| build.read_models().reports().remove(0).last, || "not taken up again".to_owned()).await;
    let refused = ended(&build).await.unwrap_err();
    assert!(refused.starts_with("generation 2 cannot answer: "), "{refused}");
    carry_out(&build, Operation::Discard).await.unwrap();
    let refused = carry_out(&build, Operation::Rebuild).await.unwrap_err();
    assert!(refused.starts_with("generation 3 differs from the live one, which stays"), "{refused}");
    answers(&build, part).await;
    carry_out(&build, Operation::Replace).await.unwrap();
    answers(&build, whole).await;

    // The one before has it parked still: to go back would lose it.
    for _ in 0..2 {
        let refused = carry_out(&build, Operation::RollBack).await.unwrap_err();
        assert!(refused.starts_with("generation 1 cannot answer: "), "{refused}");
        let told = || build.read_models().reports().remove(0).generations.remove(0).trouble;
        let told = || told().filter(|told| told.contains("is not my number"));
        world::eventually(told, || "what is kept shows what it has parked".to_owned()).await;
    }
    answers(&build, whole).await;
    build.stop(WAIT_MAX).await.unwrap();
    let build = start().await;
    shop.raise(0, 5).await;
    answers(&build, whole + 5).await;
    eventually_parked(&build, &[(4, "counter-2")]).await;
    build.quarantine().retry(Mended::NAME, "counter-2", operator()).await.unwrap();
    eventually_parked(&build, &[]).await;
    let told = carry_out(&build, Operation::RollBack).await.unwrap();
    assert_eq!(told, "generation 1 answers again instead of 3, which is kept and fed");
    answers(&build, whole + 5).await;
    shop.raise(2, 1).await;
    answers(&build, whole + 6).await;
    assert!(carry_out(&build, Operation::Verify).await.unwrap().starts_with("equal to a fresh fold"));
    build.stop(WAIT_MAX).await.unwrap();
    shop.counters.stop(WAIT_MAX).await.unwrap();
}
