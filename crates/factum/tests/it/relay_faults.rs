//! The relay fails, and is killed, between any two of its steps: no gap, no reorder; what comes again is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum::{
    bus::{Bus, BusError, MemoryBus, Offset, Record, TopicPartition},
    relay::RelayEnd,
    runtime::LoopState,
    store::{BoxFuture, EventStore, Position},
};

use crate::{
    faults::{Fault, Faults, faulty, killed_anywhere},
    world::{Running, World, eventually, message, partition_of, partitions, raise, raise_some, totals, world},
};

const ROUNDS: usize = 3;
const COUNTERS: usize = 4;

/// Every message follows the ones it says it does.
fn nothing_is_missing_or_out_of_order(bus: &MemoryBus) {
    for partition in partitions() {
        let mut watermark = 0;
        for record in bus.records(&partition) {
            let message = message(&record);
            assert!(message.previous.get() <= watermark, "a gap on {partition} before {message:?}");
            watermark = watermark.max(message.position.get());
        }
    }
}

/// Waits until the relay is to be killed, or has published everything.
async fn died_before_arriving(relay: &Running<RelayEnd>, head: Position, faults: &Faults) -> bool {
    let look = || {
        let report = relay.status.report();
        if faults.take_death() { Some(true) } else { (report.position >= head).then_some(false) }
    };
    eventually(look, || format!("{:?}: {:?}", faults.site(), relay.status.report())).await
}

/// One story: some events, a fault somewhere, more events. Says where the fault was, if the story was long enough.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let (world, bus) = world();
    let faults = Faults::new(at, fault);
    let consumer = world.consumer();
    let faulty = faulty(&world, &faults);
    let mut relay = faulty.relay();
    let mut expected = [0; COUNTERS];
    for _ in 0..ROUNDS {
        raise_some(world.store.as_ref(), &mut expected).await;
        let head = world.store.heads().await.unwrap().synced;
        while died_before_arriving(&relay, head, &faults).await {
            relay.kill().await;
            relay = faulty.relay();
        }
    }
    world.shows(&expected).await;
    world.folded_once_and_in_order();
    nothing_is_missing_or_out_of_order(&bus);
    let report = consumer.status.report();
    assert!(report.alarms.is_empty(), "call {at}, {fault:?} at {:?}: {:?}", faults.site(), report.alarms);
    consumer.stop().await.unwrap();
    relay.kill().await;
    faults.site()
}

#[tokio::test]
async fn relay_killed_anywhere() {
    // Claiming, the topic, three tails, then each round's reading, sending and progress.
    let sites = [
        ("store.claim_progress", 1),
        ("bus.ensure_topics", 1),
        ("bus.tail", 1),
        ("producer.produce", 1),
        ("store.read", 1),
        ("store.advance_progress", ROUNDS),
    ];
    killed_anywhere(&sites, story).await;
}

#[tokio::test]
async fn twin_relay_alive() {
    let (world, bus) = world();
    let consumer = world.consumer();
    let mut expected = [0; COUNTERS];
    let mut first = world.relay();
    raise_some(world.store.as_ref(), &mut expected).await;
    world.shows(&expected).await;

    let second = world.relay();
    eventually(|| (second.status.report().position.get() > 0).then_some(()), || "the twin does not start".into()).await;
    raise_some(world.store.as_ref(), &mut expected).await;
    let end = first.ended().await;
    assert!(matches!(end, Err(RelayEnd::StoodDown)), "{end:?}");
    world.shows(&expected).await;
    world.folded_once_and_in_order();
    nothing_is_missing_or_out_of_order(&bus);
    assert_eq!(totals(world.read_store.as_ref()).len(), COUNTERS);
    second.stop().await.unwrap();
    consumer.stop().await.unwrap();
}

/// A bus on which, at the first look at a partition's end, the twin publishes what is appended just then.
struct Overtaken {
    inner: Arc<dyn Bus>,
    store: Arc<dyn EventStore>,
    done: AtomicBool,
}

impl Bus for Overtaken {
    bus_passes_on!([inner] ensure_topics partitions producer consumer close);

    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>> {
        Box::pin(async move {
            if !self.done.swap(true, Ordering::SeqCst) {
                let position = raise(self.store.as_ref(), 0, 1).await;
                let home = partition_of(0);
                while self.inner.tail(&home, None).await?.is_none_or(|last| message(&last).position < position) {
                    tokio::task::yield_now().await;
                }
            }
            self.inner.tail(partition, below).await
        })
    }
}

#[tokio::test]
async fn a_twin_that_publishes_while_the_next_one_takes_over_does_not_look_like_a_store_that_went_back() {
    let (world, _bus) = world();
    let consumer = world.consumer();
    let mut first = world.relay();
    let mut expected = [0; COUNTERS];
    raise_some(world.store.as_ref(), &mut expected).await;
    world.shows(&expected).await;
    let inner = world.bus.clone();
    let overtaken = Overtaken { inner, store: world.store.clone(), done: AtomicBool::new(false) };
    let second = World { bus: Arc::new(overtaken), ..world.clone() }.relay();
    let end = first.ended().await;
    assert!(matches!(end, Err(RelayEnd::StoodDown)), "{end:?}");
    expected[0] += 1;
    raise_some(world.store.as_ref(), &mut expected).await;
    second.status.shows(|report| report.state != LoopState::Starting).await;
    assert_eq!(second.status.report().last_error, None);
    world.shows(&expected).await;
    world.folded_once_and_in_order();
    second.stop().await.unwrap();
    consumer.stop().await.unwrap();
}

#[tokio::test]
async fn while_progress_cannot_be_written_nothing_is_sent_over_and_over() {
    let (world, bus) = world();
    let faults = Faults::none();
    let relay = faulty(&world, &faults).relay();
    relay.status.shows(|report| report.state == LoopState::Live).await;
    faults.progress_is_stuck(true);
    let mut expected = [0; COUNTERS];
    raise_some(world.store.as_ref(), &mut expected).await;
    let sent = || partitions().map(|partition| bus.records(&partition).len()).sum::<usize>();
    let failures = || faults.stuck_calls();
    eventually(|| (failures() >= 50).then_some(()), || format!("{:?}", relay.status.report())).await;
    assert!(sent() <= 2 * COUNTERS, "{} records for {COUNTERS} messages", sent());
    faults.progress_is_stuck(false);
    let consumer = world.consumer();
    world.shows(&expected).await;
    relay.status.shows(|report| report.state == LoopState::Live && report.last_error.is_none()).await;
    world.folded_once_and_in_order();
    nothing_is_missing_or_out_of_order(&bus);
    relay.stop().await.unwrap();
    consumer.stop().await.unwrap();
}

#[tokio::test]
async fn bus_down() {
    let (world, bus) = world();
    let faults = Faults::none();
    let faulty = faulty(&world, &faults);
    let mut expected = [0; COUNTERS];
    let (relay, consumer) = (faulty.relay(), faulty.consumer());
    for _ in 0..3 {
        raise_some(world.store.as_ref(), &mut expected).await;
        world.shows(&expected).await;

        // Commands go on; the relay says why it does not, and tries again by itself.
        faults.bus_is_down(true);
        raise_some(world.store.as_ref(), &mut expected).await;
        relay.status.shows(|report| report.state == LoopState::BackingOff).await;
        assert!(relay.status.report().last_error.is_some_and(|error| error.contains("injected")));
        raise_some(world.store.as_ref(), &mut expected).await;
        faults.bus_is_down(false);
        world.shows(&expected).await;
        relay.status.shows(|report| report.state == LoopState::Live && report.last_error.is_none()).await;
    }
    world.folded_once_and_in_order();
    nothing_is_missing_or_out_of_order(&bus);
    relay.stop().await.unwrap();
    consumer.stop().await.unwrap();
}

#[tokio::test]
async fn a_relay_that_was_displaced_while_it_could_not_work_does_not_come_back() {
    let (world, _bus) = world();
    let faults = Faults::none();
    let mut first = faulty(&world, &faults).relay();
    first.status.shows(|report| report.state == LoopState::Live).await;
    faults.bus_is_down(true);
    let mut expected = [0; COUNTERS];
    raise_some(world.store.as_ref(), &mut expected).await;
    first.status.shows(|report| report.state == LoopState::BackingOff).await;

    let second = world.relay();
    let head = world.store.heads().await.unwrap().synced;
    second.status.shows(|report| report.position == head).await;
    faults.bus_is_down(false);
    let end = first.ended().await;
    assert!(matches!(end, Err(RelayEnd::StoodDown)), "{end:?}");
    assert_eq!(first.status.report().state, LoopState::StoodDown);
    // The one that took over was never disturbed.
    raise_some(world.store.as_ref(), &mut expected).await;
    let consumer = world.consumer();
    world.shows(&expected).await;
    second.stop().await.unwrap();
    consumer.stop().await.unwrap();
}
