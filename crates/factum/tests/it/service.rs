//! Services put together: two of them on one bus, each believing it is the only one in the world.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use factum::{
    Aggregate, Answers, AskError, Command, CommandDispatcher, CommandId, CommandReceipt, Context, DispatchError,
    Events, Handle, Position, Query, QueryError, Service, Token,
    bus::{Bus, MemoryBus},
    dispatch::BuildError,
    principal::{Access, Denied},
    query::AskOptions,
    read::{Key, MemoryReadStore, ReadSnapshot, ReadStore, Table},
    runtime::{LoopState, Runtime},
    service::{LEASE_RENEWED_EVERY, StartError, settle},
    store::{EngineOptions, EngineStore, EventStore, MemoryStore},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::world::{CounterEvent, Counters, Raised, TOPIC, Total, Totals, WAIT_MAX, eventually, partition_of};

const LIMIT: Duration = Duration::from_secs(10);

/// Which counter: a number, as text.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct CounterId(u64);

impl factum::AggregateId for CounterId {
    fn from_uuid(id: uuid::Uuid) -> Self {
        Self(id.as_u64_pair().0)
    }
}

impl std::fmt::Display for CounterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Default)]
struct Counter;

impl Aggregate for Counter {
    const CATEGORY: &'static str = "counter";
    type Id = CounterId;
    type Event = CounterEvent;
    type Rejection = Infallible;

    fn apply(&mut self, _: &CounterEvent) {}
}

#[derive(Clone, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "raise", aggregate = Counter, id = counter)]
struct Raise {
    counter: CounterId,
    by: u64,
}

impl Handle<Raise> for Counter {
    fn handle(&self, command: &Raise, _: &Context) -> Result<Events<CounterEvent>, Infallible> {
        Ok(CounterEvent::from(Raised { by: command.by }).into())
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "total", reads(Totals))]
struct GetTotal {
    counter: u64,
}

const TOTALS: Table<Total> = Table::of::<Totals>("totals");

impl Answers for GetTotal {
    type Answer = u64;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<u64, QueryError> {
        let key = Key::from(format!("counter-{}", self.counter).as_str());
        Ok(TOTALS.get(read, &key)?.unwrap_or_default().total)
    }
}

fn raise(counter: u64, by: u64) -> Raise {
    Raise { counter: CounterId(counter), by }
}

async fn counters(store: &Arc<dyn EventStore>, bus: &Arc<dyn Bus>) -> Service {
    let builder = Service::builder("shop", "counters").store(Arc::clone(store)).bus(Arc::clone(bus));
    builder.handles::<Raise>().publishes::<Counters>().start().await.expect("all parts are there")
}

async fn totals(read_store: &Arc<dyn ReadStore>, bus: &Arc<dyn Bus>) -> Service {
    let builder = Service::builder("shop", "totals").read_store(Arc::clone(read_store)).bus(Arc::clone(bus));
    builder.consumes::<Totals>(&[TOPIC]).answers::<GetTotal>().start().await.expect("all parts are there")
}

async fn settled(services: &[&Service]) {
    let settled = tokio::time::timeout(WAIT_MAX, settle(services)).await;
    settled.expect("settles in time").expect("settles");
}

#[tokio::test]
async fn what_one_service_records_another_answers_from() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let read_store: Arc<dyn ReadStore> = Arc::new(MemoryReadStore::default());
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let (counters, totals) = (counters(&store, &bus).await, totals(&read_store, &bus).await);

    settled(&[&counters, &totals]).await;
    let receipt = counters.commands().dispatch(raise(1, 40)).await.expect("is accepted");
    let total = totals.queries().ask(GetTotal { counter: 1 }).at_least(receipt.token()).await;
    assert_eq!(total.expect("the token is waited for"), 40);

    for counter in 1..=20 {
        counters.commands().dispatch(raise(counter, 2)).await.expect("is accepted");
    }
    settled(&[&counters, &totals]).await;
    for (counter, expected) in [(1, 42), (20, 2), (21, 0)] {
        assert_eq!(totals.queries().ask(GetTotal { counter }).await.expect("answers"), expected);
    }
    assert!(counters.health().readiness().ready && totals.health().readiness().ready);
    assert_eq!(counters.stop(LIMIT).await, Ok(()));
    assert_eq!(totals.stop(LIMIT).await, Ok(()));
}

#[tokio::test]
async fn two_instances_of_a_service_with_a_read_database_each_have_everything() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let read_stores: [Arc<dyn ReadStore>; 2] = std::array::from_fn(|_| Arc::new(MemoryReadStore::default()) as _);
    let writing = counters(&store, &bus).await;
    let (first, second) = (totals(&read_stores[0], &bus).await, totals(&read_stores[1], &bus).await);
    for counter in 1..=20 {
        let receipt = writing.commands().dispatch(raise(counter, 2)).await.expect("is accepted");
        for reading in [&first, &second] {
            let total = reading.queries().ask(GetTotal { counter }).at_least(receipt.token()).await;
            assert_eq!(total.expect("is visible in both"), 2);
        }
    }
}

#[tokio::test]
async fn a_live_query_goes_on_at_another_instance_where_it_was_left_at_the_first() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let read_stores: [Arc<dyn ReadStore>; 2] = std::array::from_fn(|_| Arc::new(MemoryReadStore::default()) as _);
    let (writing, first) = (counters(&store, &bus).await, totals(&read_stores[0], &bus).await);
    let token = writing.commands().dispatch(raise(1, 1)).await.expect("is accepted").token().clone();
    let options = AskOptions { at_least: Some(token), ..AskOptions::default() };
    let mut live = first.queries().live("total", "counter=1", options).await.expect("answers");
    let mut seen = live.next().await.expect("answers");
    for _ in 0..20 {
        writing.commands().dispatch(raise(1, 1)).await.expect("is accepted");
    }
    while seen.document != b"21" {
        seen = tokio::time::timeout(WAIT_MAX, live.next()).await.expect("it is told").expect("answers");
    }
    drop(live);
    first.stop(LIMIT).await.expect("stops");

    // It has read nothing so far, and would show less if it did not wait.
    let second = totals(&read_stores[1], &bus).await;
    let options = || AskOptions { not_before: Some(seen.moment.clone()), ..AskOptions::default() };
    let again = async {
        loop {
            match second.queries().live("total", "counter=1", options()).await {
                // It has only just started.
                Err(AskError::Rebuilding(_)) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let mut live = tokio::time::timeout(WAIT_MAX, again).await.expect("in time").expect("answers");
    assert_eq!(live.next().await.expect("answers").document, b"21");
    writing.commands().dispatch(raise(1, 1)).await.expect("is accepted");
    assert_eq!(live.next().await.expect("answers").document, b"22");
}

/// The client of a command that was answered before the restore did not get the answer, and sends it again. Its token
/// named the new history, on which the reader of the topic had heard nothing yet: the query waited in vain.
#[tokio::test]
async fn a_repeat_after_a_restore_gets_a_token_that_readers_of_the_topic_can_answer() {
    let old = MemoryStore::new();
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let read_store: Arc<dyn ReadStore> = Arc::new(MemoryReadStore::default());
    let store: Arc<dyn EventStore> = Arc::new(old.clone());
    let (writing, reading) = (counters(&store, &bus).await, totals(&read_store, &bus).await);
    let [kept, lost] = [1, 2].map(|number| CommandId::from_uuid(uuid::Uuid::from_u128(number)));
    let before = writing.commands().dispatch(raise(1, 40)).command_id(kept).await.expect("is accepted");
    settled(&[&writing, &reading]).await;
    // The machine is lost with what it had not published yet; of the store there is a backup.
    let restored = Arc::new(old.restored_at(before.position));
    let commands = writing.commands().clone();
    drop(writing);
    let gone = commands.dispatch(raise(1, 2)).command_id(lost).await.expect("is accepted");
    clients_go_on(restored, &bus, &reading, &before, &gone).await;
}

/// The same with the store of a machine, and with a copy of its folder.
#[tokio::test]
async fn a_store_restored_from_a_copy_answers_for_what_was_in_the_copy() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let open = |name| -> Arc<dyn EventStore> {
        Arc::new(EngineStore::open(path(name), EngineOptions::default()).expect("opens"))
    };
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let read_store: Arc<dyn ReadStore> = Arc::new(MemoryReadStore::default());
    let (writing, reading) = (counters(&open("events"), &bus).await, totals(&read_store, &bus).await);
    let [kept, lost] = [1, 2].map(|number| CommandId::from_uuid(uuid::Uuid::from_u128(number)));
    let before = writing.commands().dispatch(raise(1, 40)).command_id(kept).await.expect("is accepted");
    settled(&[&writing, &reading]).await;
    assert_eq!(writing.stop(LIMIT).await, Ok(()));
    copy_folder(&path("events"), &path("copy"));

    let commands = CommandDispatcher::builder(open("events")).handles::<Raise>().publishes::<Counters>().build();
    let gone = commands.expect("builds").dispatch(raise(1, 2)).command_id(lost).await.expect("is accepted");
    let restored = EngineStore::restore(&path("copy"), &path("restored"), &EngineOptions::default()).expect("restores");
    assert_eq!(restored.fork.position, before.position);
    clients_go_on(open("restored"), &bus, &reading, &before, &gone).await;
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Whoever had sent a command before the restore goes on after it: with the token, with a repeat, and told of what is
/// lost. `before` is in the backup, `gone` is not.
async fn clients_go_on(
    restored: Arc<dyn EventStore>,
    bus: &Arc<dyn Bus>,
    reading: &Service,
    before: &CommandReceipt,
    gone: &CommandReceipt,
) {
    let writing = counters(&restored, bus).await;
    let again = writing.commands().dispatch(raise(1, 40)).command_id(before.command_id).await.expect("is known");
    assert!(again.repeated && again.position == before.position);
    let total = async |token: &Token| reading.queries().ask(GetTotal { counter: 1 }).at_least(token).await;
    for token in [before.token(), again.token()] {
        assert_eq!(total(token).await.expect("it was applied before the restore"), 40);
    }
    let new = writing.commands().dispatch(raise(1, 2)).command_id(gone.command_id).await.expect("is accepted");
    assert!(!new.repeated);
    assert_eq!(total(new.token()).await.expect("the readers go on"), 42);
    // Another event has its position now.
    assert_eq!(gone.position, new.position);
    let told = total(gone.token()).await;
    assert!(matches!(told, Err(AskError::TokenLost { fork }) if fork == before.position), "{told:?}");
}

#[tokio::test]
async fn everything_derived_can_be_lost() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let writing = counters(&store, &bus).await;
    for by in 1..=10 {
        writing.commands().dispatch(raise(7, by)).await.expect("is accepted");
    }
    settled(&[&writing]).await;

    // The read database, and then the bus as well: filled again from what is left.
    for lost_bus in [false, true] {
        let bus: Arc<dyn Bus> = if lost_bus { Arc::new(MemoryBus::new()) } else { Arc::clone(&bus) };
        let read_store: Arc<dyn ReadStore> = Arc::new(MemoryReadStore::default());
        // The twin takes the relay over; the first one stands down.
        let (twin, reading) = (counters(&store, &bus).await, totals(&read_store, &bus).await);
        settled(&[&twin, &reading]).await;
        assert_eq!(reading.queries().ask(GetTotal { counter: 7 }).await.expect("answers"), 55, "bus lost: {lost_bus}");
        assert_eq!(reading.stop(LIMIT).await, Ok(()));
        drop(twin);
    }
}

#[tokio::test]
async fn a_service_says_what_it_lacks() {
    let start = Service::builder("shop", "counters").handles::<Raise>().start().await;
    assert!(matches!(start, Err(StartError::Missing { what: "commands", missing: "event store", .. })));
    let store = Arc::new(MemoryStore::new());
    let start = Service::builder("shop", "counters").store(store.clone()).publishes::<Counters>().start().await;
    assert!(matches!(start, Err(StartError::Missing { what: "publications", missing: "bus", .. })));
    let builder = || Service::builder("shop", "counters").store(store.clone());
    let start = builder().handles::<Raise>().handles::<Raise>().start().await;
    assert!(matches!(start, Err(StartError::Build(BuildError::DuplicateName { what: "commands", .. }))));
    let start = builder().read_store(Arc::new(MemoryReadStore::default())).answers::<GetTotal>().start().await;
    assert!(matches!(start, Err(StartError::Build(BuildError::ProjectionNotRegistered { query: "total", .. }))));
}

/// Of a topic whose beginning is gone, a service with an empty read database says from where on it is to be published
/// again, and shows what comes of that.
#[tokio::test]
async fn what_goes_over_the_bus_is_shown_and_a_gap_is_got_over() {
    let (store, bus): (Arc<dyn EventStore>, _) = (Arc::new(MemoryStore::new()), Arc::new(MemoryBus::new()));
    let read_store: Arc<dyn ReadStore> = Arc::new(MemoryReadStore::default());
    let the_bus: Arc<dyn Bus> = bus.clone();
    let counters = counters(&store, &the_bus).await;
    for by in 1..=4 {
        counters.commands().dispatch(raise(1, by)).await.expect("it is accepted");
    }
    settled(&[&counters]).await;
    let partition = partition_of(1);
    bus.cut_records(&partition, factum::bus::Offset::new(2));
    let totals = totals(&read_store, &the_bus).await;
    let state = async || totals.traffic().consumers().await.expect("the bus answers").remove(0);
    let here = async || {
        let partitions = state().await.partitions.into_iter();
        partitions.into_iter().find(|at| at.partition == partition.partition).expect("every partition is shown")
    };
    while state().await.alarms.is_empty() {
        tokio::task::yield_now().await;
    }
    let alarm = state().await.alarms.into_values().next().expect("one");
    assert!(alarm.contains("published again from position 0 on"), "{alarm}");
    let rewound = counters.relays().rewind(TOPIC, Position::ZERO).await.expect("it is rewound");
    assert_eq!(rewound.to, Position::ZERO);
    settled(&[&counters, &totals]).await;
    let (after, shown) = (state().await, here().await);
    assert!(after.alarms.is_empty(), "{:?}", after.alarms);
    assert_eq!((shown.lag(), shown.watermarks.len(), shown.watermarks[0].1), (0, 1, Position::new(4)));
    let topics = totals.traffic().topics().await.expect("the bus answers");
    assert_eq!((topics.len(), topics[0].is_published, topics[0].records), (1, false, 8));
}

#[tokio::test]
async fn a_service_that_stops_shows_it_and_takes_nothing_more() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let service = counters(&store, &bus).await;
    let (commands, health) = (service.commands().clone(), service.health().clone());
    commands.dispatch(raise(1, 1)).await.expect("is accepted");
    assert_eq!(service.stop(LIMIT).await, Ok(()));
    assert_eq!(health.readiness().reason, "stopping");
    assert!(health.loops().iter().all(|(_, report)| report.state == LoopState::Stopped));
    commands.dispatch(raise(1, 1)).await.expect_err("the store is closed");
}

#[tokio::test]
async fn a_service_runs_until_it_is_asked_to_stop_and_says_when_nobody_can_ask() {
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let mut store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let service = counters(&store, &bus).await;
    let health = service.health().clone();
    assert_eq!(service.run_until(async { Ok(()) }).await, Ok(()));
    assert_eq!(health.readiness().reason, "stopping");

    store = Arc::new(MemoryStore::new());
    let service = counters(&store, &bus).await;
    let ended = service.run_until(async { Err(std::io::Error::other("no signals here")) }).await;
    assert_eq!(ended.expect_err("says why").to_string(), "it cannot be asked to stop: no signals here");
}

#[tokio::test]
async fn commands_and_queries_have_a_policy_each() {
    let store = Arc::new(MemoryStore::new());
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let nobody = |_: Access<'_>| Err(Denied);
    let builder =
        Service::builder("shop", "all").store(store).read_store(Arc::new(MemoryReadStore::default())).bus(bus);
    let builder = builder.handles::<Raise>().consumes::<Totals>(&[TOPIC]).answers::<GetTotal>();
    let service = builder.authorize_queries(nobody).start().await.expect("all parts are there");
    service.commands().dispatch(raise(1, 1)).await.expect("commands are allowed");
    let denied = service.queries().ask(GetTotal { counter: 1 }).await;
    assert!(matches!(denied, Err(AskError::Denied)), "{denied:?}");

    let builder = Service::builder("shop", "counters").store(Arc::new(MemoryStore::new())).handles::<Raise>();
    let service = builder.authorize_commands(nobody).start().await.expect("all parts are there");
    let denied = service.commands().dispatch(raise(1, 1)).await;
    assert!(matches!(denied, Err(DispatchError::Denied)), "{denied:?}");
}

#[tokio::test]
async fn a_displaced_instance_comes_back_when_the_other_is_gone() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let read_store: Arc<dyn ReadStore> = Arc::new(MemoryReadStore::default());
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let (runtime, clock) = Runtime::manual(1);
    let start = async || {
        let builder =
            Service::builder("shop", "counters").store(Arc::clone(&store)).read_store(Arc::clone(&read_store));
        let builder = builder.bus(Arc::clone(&bus)).runtime(runtime.clone()).shares_stores();
        let builder = builder.handles::<Raise>().publishes::<Counters>().consumes::<Totals>(&[TOPIC]);
        builder.start().await.expect("all parts are there")
    };
    let shows = async |service: &Service, state: LoopState| {
        let all = || {
            let loops = service.health().loops();
            loops.iter().all(|(_, report)| report.state == state).then_some(())
        };
        let story = || format!("never {state:?}: {:?}", service.health().loops());
        // Time goes by only here.
        let looked = eventually(
            || {
                clock.advance(LEASE_RENEWED_EVERY / 50);
                all()
            },
            story,
        );
        looked.await;
    };
    let first = start().await;
    shows(&first, LoopState::Live).await;
    let second = start().await;
    shows(&second, LoopState::Live).await;
    // A loop that has nothing to do finds out with its next one.
    for by in [1, 2, 3] {
        second.commands().dispatch(raise(1, by)).await.expect("is accepted");
    }
    shows(&first, LoopState::StoodDown).await;
    shows(&second, LoopState::Live).await;
    // Not stopped: that would close the store of both.
    drop(second);
    shows(&first, LoopState::Live).await;
    assert!(first.health().readiness().ready);
}
