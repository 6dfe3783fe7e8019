//! What a topic still has is evidence: what is lost is sent again, what belongs to somebody else is left alone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use factum::{
    EventId,
    bus::{Bus as _, Envelope, Headers, MemoryBus, NewRecord, Offset},
    read::MemoryReadStore,
    relay::{LOOK_EVERY, RelayEnd, RelayHalt},
    runtime::{LoopState, Runtime},
    store::{Append, Direction, ExpectedVersion, MemoryStore, NewEvent, Position, Selection, StreamName},
    testing::NOW,
};
use uuid::Uuid;

use crate::{
    faults::{Fault, Faults, faulty},
    restored::{copy, copy_bus, forked, named, progress, put_progress},
    world::{TOPIC, World, eventually, impatient, message, partition_of, partitions, raise, raise_some, world},
};

const COUNTERS: usize = 6;

/// A world whose relay has published something and was stopped.
async fn published() -> (World, MemoryBus, [u64; COUNTERS]) {
    let (world, bus) = world();
    let mut expected = [0; COUNTERS];
    for _ in 0..3 {
        raise_some(world.store.as_ref(), &mut expected).await;
    }
    world.publishes().await;
    (world, bus, expected)
}

fn positions(bus: &MemoryBus) -> Vec<u64> {
    let records = partitions().flat_map(|partition| bus.records(&partition));
    records.map(|record| message(&record).position.get()).collect()
}

/// Whoever reads the topic from its beginning sees everything, once and in order.
async fn a_new_reader_sees(world: &World, expected: &[u64]) {
    let reader = World {
        store: world.store.clone(),
        bus: world.bus.clone(),
        read_store: Arc::new(MemoryReadStore::default()),
        watermarks: Arc::default(),
        runtime: impatient(),
    };
    let consumer = reader.consumer();
    reader.shows(expected).await;
    reader.folded_once_and_in_order();
    // What is sent again may stand behind what is newer: a gap until it comes.
    consumer.status.shows(|report| report.alarms.is_empty()).await;
    consumer.stop().await.unwrap();
}

async fn halted(world: &World) -> RelayHalt {
    let mut relay = world.relay();
    match relay.ended().await {
        Err(RelayEnd::Halted(halt)) => {
            let report = relay.status.report();
            assert_eq!(report.state, LoopState::Failed);
            assert_eq!(report.last_error, Some(halt.to_string()));
            halt
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_restart_sends_nothing_again() {
    let (world, bus, expected) = published().await;
    let before = positions(&bus);
    world.publishes().await;
    assert_eq!(positions(&bus), before);
    a_new_reader_sees(&world, &expected).await;
}

#[tokio::test]
async fn topic_deleted_while_the_relay_was_stopped() {
    let (world, bus, expected) = published().await;
    bus.delete_topic(TOPIC);
    world.publishes().await;
    assert_eq!(positions(&bus).len(), 3 * COUNTERS);
    a_new_reader_sees(&world, &expected).await;
}

#[tokio::test]
async fn topic_deleted_under_a_running_relay() {
    let (world, bus, mut expected) = published().await;
    let relay = world.relay();
    relay.status.shows(|report| report.state == LoopState::Live).await;
    bus.delete_topic(TOPIC);
    raise_some(world.store.as_ref(), &mut expected).await;
    eventually(|| (positions(&bus).len() == 4 * COUNTERS).then_some(()), || format!("{:?}", positions(&bus))).await;
    a_new_reader_sees(&world, &expected).await;
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_topic_lost_is_sent_again_although_nothing_new_is_to_be_sent() {
    for partition in partitions() {
        let (world, bus, expected) = published().await;
        let mut had = positions(&bus);
        let (runtime, clock) = Runtime::manual(1);
        let relay = World { runtime, ..world.clone() }.relay();
        relay.status.shows(|report| report.state == LoopState::Live).await;
        let end = bus.records(&partition).len() as u64;
        bus.lose_records(&partition, Offset::new(end.saturating_sub(1)));
        clock.advance(LOOK_EVERY);
        had.sort_unstable();
        let has_all = || {
            // It may wait before it tries again.
            clock.advance(Duration::from_secs(1));
            let mut has = positions(&bus);
            has.sort_unstable();
            (has == had).then_some(())
        };
        eventually(has_all, || format!("{partition}: {:?} of {had:?}", positions(&bus))).await;
        a_new_reader_sees(&world, &expected).await;
        relay.stop().await.unwrap();
    }
}

#[tokio::test]
async fn topic_made_anew_under_a_running_relay() {
    let (world, bus, mut expected) = published().await;
    let relay = world.relay();
    relay.status.shows(|report| report.state == LoopState::Live).await;
    // No call fails: only offsets that start over give it away.
    for partition in partitions() {
        bus.lose_records(&partition, Offset::new(0));
    }
    raise_some(world.store.as_ref(), &mut expected).await;
    a_new_reader_sees(&world, &expected).await;
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn broker_loses_acknowledged_records() {
    // Every number of lost records on every partition, with the relay stopped and running.
    for running in [false, true] {
        for lost in 1..=8 {
            for partition in partitions() {
                let (world, bus, mut expected) = published().await;
                let relay = world.relay();
                relay.status.shows(|report| report.state == LoopState::Live).await;
                let relay = if running { Some(relay) } else { relay.stop().await.map(|()| None).unwrap() };
                let end = bus.records(&partition).len() as u64;
                bus.lose_records(&partition, Offset::new(end.saturating_sub(lost)));
                raise_some(world.store.as_ref(), &mut expected).await;
                match relay {
                    Some(relay) => {
                        a_new_reader_sees(&world, &expected).await;
                        relay.stop().await.unwrap();
                    }
                    None => {
                        world.publishes().await;
                        a_new_reader_sees(&world, &expected).await;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn topic_made_anew_that_has_grown_beyond_the_checkpoint() {
    let (world, bus, mut expected) = published().await;
    let faults = Faults::none();
    let relay = faulty(&world, &faults).relay();
    relay.status.shows(|report| report.state == LoopState::Live).await;
    for partition in partitions() {
        bus.lose_records(&partition, Offset::new(0));
    }
    // Killed after it sent to the new topic, before it saw the offsets: newer messages stand where the old ones stood.
    faults.arm("producer.produce", Fault::DieAfter);
    for _ in 0..5 {
        raise_some(world.store.as_ref(), &mut expected).await;
    }
    eventually(|| faults.take_death().then_some(()), || "nothing was sent".to_owned()).await;
    relay.kill().await;
    assert_eq!(positions(&bus).len(), 5 * COUNTERS);
    world.publishes().await;
    assert_eq!(positions(&bus).into_iter().collect::<BTreeSet<_>>().len(), 8 * COUNTERS);
    let (first, last) = (message_at(&bus, 0), 5 * COUNTERS as u64);
    assert!(first > last, "the beginning was sent again after what is newer: {first}");
}

/// A newer message got onto the topic behind a loss; the relay sent again what was missing, behind the newer one. Then
/// the broker lost that again, but kept the newer one, which looked like the last message acknowledged: the hole
/// before it stayed for ever.
#[tokio::test]
async fn a_message_that_stands_behind_a_hole_does_not_vouch_for_what_is_before_it() {
    let (world, bus, mut expected) = published().await;
    let (partition, whole) = (partition_of(0), bus.records(&partition_of(0)).len() as u64);
    let relay = world.relay();
    relay.status.shows(|report| report.state == LoopState::Live).await;
    bus.lose_records(&partition, Offset::new(whole - 1));
    raise(world.store.as_ref(), 0, 1).await;
    expected[0] += 1;
    a_new_reader_sees(&world, &expected).await;
    relay.status.shows(|report| report.state == LoopState::Live).await;
    relay.stop().await.unwrap();
    let lane: Vec<u64> = bus.records(&partition).iter().map(|record| message(record).position.get()).collect();
    assert!(!lane.is_sorted(), "what was lost was sent again behind what is newer: {lane:?}");

    bus.lose_records(&partition, Offset::new(whole));
    world.publishes().await;
    a_new_reader_sees(&world, &expected).await;
}

/// A twin that was displaced and did not know it yet sent the next message where the broker had lost the one before. The
/// relay's own came behind it, at the offset it would have had without the loss: nothing told, and the hole stayed for ever.
#[tokio::test]
async fn a_displaced_twin_that_fills_the_place_of_what_was_lost_does_not_hide_the_loss() {
    for lost in 1..=2 {
        let (world, bus, mut expected) = published().await;
        let relay = world.relay();
        relay.status.shows(|report| report.state == LoopState::Live).await;
        let partition = partition_of(0);
        let records = bus.records(&partition);
        let (end, last) = (records.len() as u64, message(records.last().unwrap()));
        bus.lose_records(&partition, Offset::new(end - lost));
        let head = world.store.heads().await.unwrap().synced.get();
        let of_the_twin = (1..=lost).map(|ahead| {
            let position = Position::new(head + ahead);
            let previous = if ahead == 1 { last.position } else { Position::new(head + ahead - 1) };
            (partition.clone(), Envelope { position, previous, ..last.clone() }.encode())
        });
        bus.producer().await.unwrap().produce(of_the_twin.collect()).await.unwrap();
        for _ in 0..lost {
            raise(world.store.as_ref(), 0, 1).await;
            expected[0] += 1;
        }
        a_new_reader_sees(&world, &expected).await;
        relay.stop().await.unwrap();
    }
}

/// The position of the first message on the first partition that has one.
fn message_at(bus: &MemoryBus, index: usize) -> u64 {
    let mut lanes = partitions().map(|partition| bus.records(&partition));
    lanes.find_map(|records| records.get(index).map(message)).unwrap().position.get()
}

#[tokio::test]
async fn a_lost_checkpoint_sends_everything_again() {
    let (mut world, bus, expected) = published().await;
    let consumer = world.consumer();
    world.shows(&expected).await;
    world.store = copy(world.store.as_ref(), u64::MAX, world.store.identity().clone()).await;
    world.publishes().await;
    assert_eq!(positions(&bus).len(), 2 * 3 * COUNTERS);
    consumer.status.shows(|report| report.dropped == 3 * COUNTERS as u64).await;
    world.shows(&expected).await;
    world.folded_once_and_in_order();
    consumer.stop().await.unwrap();
}

#[tokio::test]
async fn a_topic_of_another_store_is_refused() {
    let (mut world, bus, _) = published().await;
    world.store = Arc::new(MemoryStore::seeded(2));
    raise(world.store.as_ref(), 1, 1).await;
    let before = positions(&bus);
    let halt = halted(&world).await;
    assert!(matches!(halt, RelayHalt::ForeignTopic { .. }), "{halt}");
    assert_eq!(positions(&bus), before);
}

#[tokio::test]
async fn a_store_that_went_back_is_not_published() {
    let (mut world, _, _) = published().await;
    // The folder of this morning: the same incarnation with less in it, and no checkpoint that would tell.
    world.store = copy(world.store.as_ref(), 5, world.store.identity().clone()).await;
    let halt = halted(&world).await;
    assert!(matches!(halt, RelayHalt::StoreWentBack { head, .. } if head.get() == 5), "{halt}");
}

#[tokio::test]
async fn a_checkpoint_whose_event_is_another_is_damage() {
    let (mut world, _, _) = published().await;
    let stolen = progress(world.store.as_ref()).await;
    let other = MemoryStore::seeded(2);
    for _ in 0..4 {
        raise_some(&other, &mut [0; COUNTERS]).await;
    }
    put_progress(&other, &stolen).await;
    world.store = named(other, world.store.identity().clone());
    world.bus = Arc::new(MemoryBus::new());
    let halt = halted(&world).await;
    assert!(matches!(halt, RelayHalt::ForeignCheckpoint { .. }), "{halt}");
}

#[tokio::test]
async fn event_store_restored_from_an_older_backup() {
    let (mut world, bus, _) = published().await;
    let head = world.store.heads().await.unwrap().synced.get();
    let stolen = progress(world.store.as_ref()).await;
    let old = world.store.clone();
    // The backup ends anywhere; the checkpoint in it is of now, of then, or missing.
    for fork in (0..=head).step_by(5) {
        for checkpoint in [Some(stolen.clone()), None] {
            let story = format!("fork at {fork}, checkpoint {}", checkpoint.is_some());
            let bus = copy_bus(&bus).await;
            world.bus = Arc::new(bus.clone());
            world.store = copy(old.as_ref(), fork, forked(old.identity(), fork)).await;
            if let Some(checkpoint) = &checkpoint {
                put_progress(world.store.as_ref(), checkpoint).await;
            }
            for counter in 0..COUNTERS as u64 {
                raise(world.store.as_ref(), counter, 1_000).await;
            }
            world.publishes().await;
            let incarnation = world.store.identity().incarnation;
            for partition in partitions() {
                let mut shared = 0;
                let mut last = 0;
                for message in bus.records(&partition).iter().map(message) {
                    if message.origin.source.incarnation != incarnation {
                        let position = message.position.get();
                        shared = if position <= fork { position } else { shared };
                        continue;
                    }
                    assert_eq!(message.lineage.len(), 1, "{story}");
                    let previous = message.previous.get();
                    assert!(previous <= shared.max(last), "{story}: {previous} of {shared}, {last}");
                    last = message.position.get();
                }
                if checkpoint.is_some() {
                    let new = bus
                        .records(&partition)
                        .iter()
                        .map(message)
                        .find(|message| message.origin.source.incarnation == incarnation);
                    // Where the last message is of before, this is said at the fork; what follows it is beyond it.
                    let first = new.as_ref().map(|new| new.position.get() + u64::from(new.says_history_left()));
                    assert!(first.is_none_or(|first| first > fork), "{story}: published from the fork on");
                }
            }
            let last = world.store.heads().await.unwrap().synced.get();
            assert!(positions(&bus).contains(&last), "{story}");
        }
    }
}

#[tokio::test]
async fn an_older_copy_of_a_restored_store_is_refused() {
    let (mut world, _, _) = published().await;
    let old = world.store.clone();
    let head = old.heads().await.unwrap().synced.get();
    world.store = copy(old.as_ref(), head, forked(old.identity(), head)).await;
    for counter in 0..COUNTERS as u64 {
        raise(world.store.as_ref(), counter, 1).await;
    }
    world.publishes().await;
    world.store = old;
    let halt = halted(&world).await;
    assert!(matches!(halt, RelayHalt::ForeignHistory { .. }), "{halt}");
}

#[tokio::test]
async fn an_event_that_cannot_be_published_stops_the_topic_loudly() {
    let (world, bus, _) = published().await;
    let before = positions(&bus);
    let stream = StreamName::new("counter-1").unwrap();
    let event = NewEvent {
        id: EventId::from_uuid(Uuid::from_u128(1)),
        name: "counter.raised".into(),
        schema: 1,
        tags: Vec::new(),
        data: b"{\"by\":\"much\"}".to_vec(),
    };
    let metadata = world.store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1).await.unwrap();
    let metadata = metadata.events[0].metadata.clone();
    let append = Append::new(metadata, NOW).stream(stream, ExpectedVersion::Any, vec![event]);
    let position = world.store.append(append).await.unwrap().last;
    raise(world.store.as_ref(), 1, 1).await;
    let halt = halted(&world).await;
    assert!(matches!(&halt, RelayHalt::Undecodable { position: at, .. } if *at == position), "{halt}");
    assert_eq!(positions(&bus), before, "nothing after it is sent");
}

/// Something was put on a topic by mistake, as nobody can take it away again: on a topic of commands the receiver puts it
/// aside, but the sender's relay refused to start.
#[tokio::test]
async fn what_is_no_message_is_passed_over_whether_it_stands_last_or_where_records_were_lost() {
    let (world, bus, _) = published().await;
    let sent = || -> Vec<u64> {
        let records =
            partitions().flat_map(|partition| bus.records(&partition)).filter(|record| record.value != "hello");
        records.map(|record| message(&record).position.get()).collect()
    };
    let before = sent();
    let write = async || {
        let junk = NewRecord { key: "key".into(), headers: Headers::new(), value: "hello".into(), timestamp: NOW };
        world.bus.producer().await.unwrap().produce(vec![(partition_of(1), junk)]).await.unwrap();
    };
    write().await;
    world.publishes().await;
    assert_eq!(sent(), before, "all of it is there, below what is no message");
    let first = bus.records(&partition_of(1))[0].offset;
    bus.lose_records(&partition_of(1), first);
    write().await;
    world.publishes().await;
    assert_eq!(sent(), before, "what was lost is sent again");
}
