//! An event store is restored from an older copy, and nothing happens afterwards: everybody who reads its topic learns
//! that the end of each partition was left.

use std::{collections::BTreeMap, sync::Arc};

use factum::{
    bus::{HISTORY_LEFT_NAME, MemoryBus, TopicPartition},
    model::Incarnation,
    read::MemoryReadStore,
    runtime::LoopState,
    store::{Direction, EventStore, Position, Selection},
};

use crate::{
    faults::{Fault, Faults, faulty},
    restored::{copy, copy_bus, forked, progress, put_progress},
    world::{
        Raised, World, eventually, impatient, message, partition_of, partitions, raise, raise_some, totals, world,
    },
};

const COUNTERS: usize = 6;
/// Far more calls than a relay makes in a story.
const CALLS_MAX: u64 = 200;

/// What became of a store: restored at `fork`, with the relay's progress of now, or with none.
async fn restored(store: &Arc<dyn EventStore>, fork: u64, with_progress: bool) -> Arc<dyn EventStore> {
    let restored = copy(store.as_ref(), fork, forked(store.identity(), fork)).await;
    if with_progress {
        put_progress(restored.as_ref(), &progress(store.as_ref()).await).await;
    }
    restored
}

/// The totals that a store's events come to, in the order of their counters.
async fn truth(store: &dyn EventStore) -> Vec<u64> {
    let all = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 10_000).await.unwrap();
    let mut totals = BTreeMap::new();
    for event in all.events.iter().filter(|event| event.name.as_ref() == "counter.raised") {
        let raised: Raised = serde_json::from_slice(&event.data).unwrap();
        *totals.entry(event.stream.to_string()).or_default() += raised.by;
    }
    totals.into_values().collect()
}

/// Whoever reads the topic from its beginning has what the store has, and nothing more.
async fn a_new_reader_sees_the_truth(world: &World, story: &str) {
    let reader = World {
        read_store: Arc::new(MemoryReadStore::default()),
        watermarks: Arc::default(),
        runtime: impatient(),
        ..world.clone()
    };
    let consumer = reader.consumer();
    consumer.status.shows(|report| report.state == LoopState::Live).await;
    let truth = truth(world.store.as_ref()).await;
    let seen = || totals(reader.read_store.as_ref()).iter().map(|total| total.total).collect::<Vec<_>>();
    let look = || (seen() == truth).then_some(());
    eventually(look, || format!("{story}: {truth:?}, {:?}: {:?}", seen(), consumer.status.report())).await;
    reader.folded_once_and_in_order();
    assert!(consumer.status.report().alarms.is_empty(), "{story}: {:?}", consumer.status.report().alarms);
    consumer.stop().await.unwrap();
}

/// How often each partition says under a history that an earlier one was left.
fn told(bus: &MemoryBus, incarnation: Incarnation) -> Vec<usize> {
    let count = |partition: TopicPartition| {
        let messages = bus.records(&partition).into_iter().map(|record| message(&record));
        messages.filter(|at| at.says_history_left() && at.origin.source.incarnation == incarnation).count()
    };
    partitions().map(count).collect()
}

/// Every partition that has anything ends with the present history.
fn each_end_is_of(bus: &MemoryBus, incarnation: Incarnation, story: &str) {
    for partition in partitions() {
        let records = bus.records(&partition);
        let Some(last) = records.last().map(message) else { continue };
        assert_eq!(last.origin.source.incarnation, incarnation, "{story}: {partition} ends with {last:?}");
    }
}

async fn published() -> (World, MemoryBus) {
    let (world, bus) = world();
    let mut expected = [0; COUNTERS];
    for _ in 0..3 {
        raise_some(world.store.as_ref(), &mut expected).await;
    }
    world.publishes().await;
    (world, bus)
}

#[tokio::test]
async fn a_history_that_was_left_is_told_on_every_partition_although_nothing_new_happens() {
    let (old, before) = published().await;
    let head = old.store.heads().await.unwrap().synced.get();
    for fork in (0..=head).step_by(3) {
        for with_progress in [true, false] {
            let story = format!("fork at {fork}, progress: {with_progress}");
            let bus = copy_bus(&before).await;
            let mut world = World { bus: Arc::new(bus.clone()), ..old.clone() };
            (world.read_store, world.watermarks) = (Arc::new(MemoryReadStore::default()), Arc::default());
            // It has applied everything.
            let consumer = world.consumer();
            consumer.status.shows(|report| report.state == LoopState::Live).await;
            world.shows(&truth(old.store.as_ref()).await).await;

            world.store = restored(&old.store, fork, with_progress).await;
            world.publishes().await;
            let incarnation = world.store.identity().incarnation;
            each_end_is_of(&bus, incarnation, &story);
            if with_progress {
                assert_eq!(told(&bus, incarnation), [1; 3], "{story}");
            }
            // Those beyond the fork say so, the others go on.
            let lost = |partition: &TopicPartition| {
                before.records(partition).last().is_some_and(|last| message(last).position.get() > fork)
            };
            for partition in partitions() {
                let alarm = || consumer.status.report().alarms.get(&partition.to_string()).cloned();
                if lost(&partition) {
                    let text = eventually(alarm, || format!("{story}: nothing is said of {partition}")).await;
                    assert!(text.contains(&format!("source forked at {fork}, you are at")), "{story}: {text}");
                } else {
                    raise(world.store.as_ref(), counter_on(&partition), 1_000).await;
                    world.publishes().await;
                    let grown = || totals(world.read_store.as_ref()).iter().any(|total| total.total > 1_000);
                    eventually(|| grown().then_some(()), || format!("{story}: {:?}", consumer.status.report())).await;
                    assert_eq!(alarm(), None, "{story}");
                }
            }
            consumer.stop().await.unwrap();
            // Started again, the relay has nothing more to say.
            let records = partitions().map(|partition| bus.records(&partition).len()).sum::<usize>();
            world.publishes().await;
            assert_eq!(partitions().map(|partition| bus.records(&partition).len()).sum::<usize>(), records, "{story}");
            a_new_reader_sees_the_truth(&world, &story).await;
        }
    }
}

/// A counter whose messages are on a partition.
fn counter_on(partition: &TopicPartition) -> u64 {
    (0..).find(|counter| partition_of(*counter) == *partition).unwrap()
}

/// Where a new reader of each partition is at its end, by the rules of watermarks: what lies beyond the fork in the history
/// that was left is dropped.
fn ends(bus: &MemoryBus, incarnation: Incarnation, fork: u64) -> Vec<u64> {
    let end = |partition: TopicPartition| {
        let messages = bus.records(&partition).into_iter().map(|record| message(&record));
        messages.fold(0, |watermark, at| {
            let position = at.position.get();
            let counts = at.origin.source.incarnation == incarnation || position <= fork;
            if counts && at.previous.get() <= watermark { watermark.max(position) } else { watermark }
        })
    };
    partitions().map(end).collect()
}

/// Those who heard that a history was left are at the fork. The broker loses the message that said so, with any number of
/// those before it: what is filled anew comes as far although nothing new happens.
#[tokio::test]
async fn what_told_that_a_history_was_left_is_told_again_where_the_broker_lost_it() {
    let (old, before) = published().await;
    let fork = old.store.heads().await.unwrap().synced.get() - 4;
    for saved in [true, false] {
        let longest = partitions().map(|partition| before.records(&partition).len()).max().unwrap();
        for kept in 0..=longest {
            let story = format!("{kept} records kept, progress saved: {saved}");
            let bus = copy_bus(&before).await;
            let mut world = World { bus: Arc::new(bus.clone()), ..old.clone() };
            world.store = restored(&old.store, fork, true).await;
            let untold = copy(world.store.as_ref(), fork, world.store.identity().clone()).await;
            put_progress(untold.as_ref(), &progress(world.store.as_ref()).await).await;
            world.publishes().await;
            let incarnation = world.store.identity().incarnation;
            assert_eq!(ends(&bus, incarnation, fork), [fork; 3], "{story}");
            for partition in partitions() {
                let lost = bus.records(&partition).get(kept).map(|record| record.offset);
                if let Some(offset) = lost {
                    bus.lose_records(&partition, offset);
                }
            }
            if !saved {
                world.store = untold;
            }
            world.publishes().await;
            assert_eq!(ends(&bus, incarnation, fork), [fork; 3], "{story}");
            a_new_reader_sees_the_truth(&world, &story).await;
        }
    }
}

/// One story: a restore with loss, a fault somewhere in the relay.
async fn story(at: u64, fault: Fault, with_progress: bool) -> Option<&'static str> {
    let (mut world, bus) = published().await;
    let head = world.store.heads().await.unwrap().synced.get();
    world.store = restored(&world.store, head / 2, with_progress).await;
    let faults = Faults::new(at, fault);
    let faulty = faulty(&world, &faults);
    let head = world.store.heads().await.unwrap().synced;
    let mut relay = faulty.relay();
    loop {
        let look = || {
            let report = relay.status.report();
            let arrived = report.position >= head && report.state == LoopState::Live;
            if faults.take_death() { Some(true) } else { arrived.then_some(false) }
        };
        if !eventually(look, || format!("{:?}: {:?}", faults.site(), relay.status.report())).await {
            break;
        }
        relay.kill().await;
        relay = faulty.relay();
    }
    relay.stop().await.unwrap();
    let story = format!("call {at}, {fault:?} at {:?}, progress: {with_progress}", faults.site());
    let incarnation = world.store.identity().incarnation;
    each_end_is_of(&bus, incarnation, &story);
    assert!(told(&bus, incarnation).iter().all(|times| *times <= 1), "{story}: {:?}", told(&bus, incarnation));
    a_new_reader_sees_the_truth(&world, &story).await;
    faults.site()
}

#[tokio::test]
async fn a_relay_killed_anywhere_tells_once_that_a_history_was_left() {
    for with_progress in [true, false] {
        for fault in Fault::ALL {
            let mut sites = Vec::new();
            for at in 1..CALLS_MAX {
                match story(at, fault, with_progress).await {
                    Some(site) => sites.push(site),
                    None => break,
                }
            }
            assert!(sites.len() < CALLS_MAX as usize - 1);
            for site in ["bus.tail", "producer.produce", "producer.produce, some sent", "store.advance_progress"] {
                assert!(sites.contains(&site), "{site} was never hit by {fault:?}: {sites:?}");
            }
        }
    }
}

/// Restored again and again, at random places, whether or not the relay ran in between.
#[tokio::test]
async fn a_restore_of_a_restore_is_told_as_the_history_it_led_to() {
    for seed in 0..60 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let (mut world, bus) = published().await;
        let mut last_progress = progress(world.store.as_ref()).await;
        for generation in 0..4 {
            let head = world.store.heads().await.unwrap().synced.get();
            let fork = chance.u64(0..=head);
            world.store = copy(world.store.as_ref(), fork, forked(world.store.identity(), fork)).await;
            if chance.bool() {
                put_progress(world.store.as_ref(), &last_progress).await;
            }
            for _ in 0..chance.usize(0..4) {
                raise(world.store.as_ref(), chance.u64(0..COUNTERS as u64), 10_000).await;
            }
            if chance.bool() || generation == 3 {
                world.publishes().await;
                last_progress = progress(world.store.as_ref()).await;
                let story = format!("seed {seed}, generation {generation}, fork at {fork}");
                each_end_is_of(&bus, world.store.identity().incarnation, &story);
                a_new_reader_sees_the_truth(&world, &story).await;
            }
        }
    }
}

#[tokio::test]
async fn what_says_that_a_history_was_left_is_no_message_to_anybody() {
    let (mut world, bus) = published().await;
    let head = world.store.heads().await.unwrap().synced.get();
    let consumer = world.consumer();
    let processed = 3 * COUNTERS as u64;
    consumer.status.shows(|report| report.processed == processed).await;
    world.store = restored(&world.store, head, true).await;
    world.publishes().await;
    let last = bus.records(&partition_of(0)).last().map(message).unwrap();
    assert_eq!((last.name.as_str(), &last.data[..], last.position.get()), (HISTORY_LEFT_NAME, &b"{}"[..], head));
    assert_eq!(last.lineage.len(), 1);
    let raised = raise(world.store.as_ref(), 0, 1).await;
    world.publishes().await;
    consumer.status.shows(|report| report.position == raised).await;
    assert_eq!(consumer.status.report().processed, processed + 1);
    consumer.stop().await.unwrap();
}
