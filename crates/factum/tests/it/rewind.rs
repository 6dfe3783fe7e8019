//! A relay goes back: retention took the beginning of a topic and a read database is lost, so nobody else can tell what
//! is missing. What is sent again says the same as before, wherever anybody stands, and whatever dies meanwhile.

use std::sync::Arc;

use factum::{
    bus::{Envelope, MemoryBus, Offset},
    read::MemoryReadStore,
    relay::{self, Relay, RelayEnd, RewindError, Rewound},
    runtime::LoopState,
    store::Position,
};

use crate::{
    faults::{Fault, Faults, faulty, killed_anywhere},
    restored::{copy, forked, progress, put_progress},
    world::{
        Counters, Running, World, eventually, impatient, message, partition_of, partitions, raise_some, running,
        within, world,
    },
};

const ROUNDS: u64 = 3;
const COUNTERS: usize = 6;

/// A relay whose desk is at hand.
fn relay_of(world: &World) -> (Arc<Relay>, Running<RelayEnd>) {
    let (store, bus) = (world.store.clone(), world.bus.clone());
    let relay = Relay::new("shop", "counters", relay::erase::<Counters>(), store, bus, world.runtime.clone());
    let (status, relay) = (relay.status().clone(), Arc::new(relay));
    let runs = Arc::clone(&relay);
    (relay, running(status, |stop| async move { runs.run(stop).await }))
}

async fn published() -> (World, MemoryBus, [u64; COUNTERS]) {
    let (world, bus) = world();
    let mut expected = [0; COUNTERS];
    for _ in 0..ROUNDS {
        raise_some(world.store.as_ref(), &mut expected).await;
    }
    world.publishes().await;
    (world, bus, expected)
}

/// Someone whose read database is lost.
fn reader(world: &World) -> World {
    World {
        read_store: Arc::new(MemoryReadStore::default()),
        watermarks: Arc::default(),
        runtime: impatient(),
        ..world.clone()
    }
}

fn lanes(bus: &MemoryBus) -> Vec<Vec<Envelope>> {
    partitions().map(|partition| bus.records(&partition).iter().map(message).collect()).collect()
}

/// The rewind was carried out, and everything there is was sent again.
async fn rewound(relay: &Relay, world: &World, to: u64) -> Rewound {
    let rewound = relay.rewound(Position::new(to)).await.unwrap();
    arrived(relay, world).await;
    rewound
}

async fn arrived(relay: &Relay, world: &World) {
    let head = world.store.heads().await.unwrap().synced;
    let is_there = |position, state| position >= head && state == LoopState::Live;
    within(relay.status().shows(|report| is_there(report.position, report.state))).await;
}

#[tokio::test]
async fn history_cut_by_retention_together_with_a_lost_read_database() {
    let (world, bus, expected) = published().await;
    let (cut, reader) = (partition_of(0), reader(&world));
    bus.cut_records(&cut, Offset::new(2));
    let (relay, runs) = relay_of(&world);
    let consumer = reader.consumer();
    consumer.status.shows(|report| !report.alarms.is_empty()).await;
    let alarms = consumer.status.report().alarms;
    let text = alarms.values().next().unwrap();
    assert!(text.contains("until its relay has published again from position 0 on"), "{text}");

    let head = world.store.heads().await.unwrap().synced;
    assert_eq!(rewound(&relay, &world, 0).await, Rewound { to: Position::ZERO, from: head });
    reader.shows(&expected).await;
    reader.folded_once_and_in_order();
    consumer.status.shows(|report| report.alarms.is_empty()).await;
    consumer.stop().await.unwrap();
    runs.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_sent_again_after_any_position_says_the_same_as_before() {
    let (_, bus, _) = published().await;
    let head = lanes(&bus).concat().iter().map(|message| message.position.get()).max().unwrap();
    for to in 0..=head {
        let (world, bus, _) = published().await;
        let before = lanes(&bus);
        let (relay, runs) = relay_of(&world);
        rewound(&relay, &world, to).await;
        for (after, before) in lanes(&bus).iter().zip(&before) {
            let again: Vec<_> = before.iter().filter(|message| message.position.get() > to).cloned().collect();
            assert_eq!(after[before.len()..], again, "to {to}");
        }
        assert_eq!(relay.resent(), lanes(&bus).concat().len() as u64 - before.concat().len() as u64);
        runs.stop().await.unwrap();
        // A restart finds nothing missing.
        let sent = lanes(&bus);
        world.publishes().await;
        assert_eq!(lanes(&bus).concat().len(), sent.concat().len(), "to {to}");
    }
}

#[tokio::test]
async fn readers_that_stand_anywhere_at_or_after_the_position_go_on() {
    for stands in 0..=ROUNDS {
        for to in 0..=stands * COUNTERS as u64 {
            let (world, bus) = world();
            let (mut expected, reader) = ([0; COUNTERS], reader(&world));
            for _ in 0..stands {
                raise_some(world.store.as_ref(), &mut expected).await;
            }
            world.publishes().await;
            if stands > 0 {
                let consumer = reader.consumer();
                reader.shows(&expected).await;
                consumer.stop().await.unwrap();
            }
            for _ in stands..ROUNDS + 1 {
                raise_some(world.store.as_ref(), &mut expected).await;
            }
            world.publishes().await;
            // All but the last message of each partition is gone.
            for partition in partitions() {
                bus.cut_records(&partition, Offset::new(u64::MAX));
            }
            let (relay, runs) = relay_of(&world);
            rewound(&relay, &world, to).await;
            let consumer = reader.consumer();
            reader.shows(&expected).await;
            reader.folded_once_and_in_order();
            consumer.status.shows(|report| report.alarms.is_empty()).await;
            consumer.stop().await.unwrap();
            runs.stop().await.unwrap();
        }
    }
}

/// A topic whose beginning is gone; the relay dies anywhere while it goes back, and is asked again if nobody knows.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let (world, bus) = world();
    let (mut expected, reader) = ([0; COUNTERS], reader(&world));
    raise_some(world.store.as_ref(), &mut expected).await;
    world.publishes().await;
    for _ in 1..ROUNDS {
        raise_some(world.store.as_ref(), &mut expected).await;
    }
    world.publishes().await;
    for partition in partitions() {
        bus.cut_records(&partition, Offset::new(u64::MAX));
    }
    let faults = Faults::new(at, fault);
    let faulty = faulty(&world, &faults);
    let (mut relay, mut runs) = relay_of(&faulty);
    let mut is_asked = false;
    loop {
        let asks = async { is_asked || relay.rewound(Position::ZERO).await.is_ok() };
        let dies = eventually(|| faults.take_death().then_some(()), || "nobody dies".to_owned());
        tokio::select! {
            biased;
            () = dies => {
                runs.kill().await;
                (relay, runs) = relay_of(&faulty);
            }
            done = asks => {
                is_asked = done;
                if is_asked {
                    break;
                }
            }
        }
    }
    let head = world.store.heads().await.unwrap().synced;
    loop {
        let look = || {
            let report = relay.status().report();
            let is_over = report.position >= head && report.state == LoopState::Live && is_sent_again(&bus);
            if faults.take_death() { Some(true) } else { is_over.then_some(false) }
        };
        let story = || format!("call {at}, {fault:?} at {:?}: {:?}", faults.site(), relay.status().report());
        if !eventually(look, story).await {
            break;
        }
        runs.kill().await;
        (relay, runs) = relay_of(&faulty);
    }
    let consumer = reader.consumer();
    reader.shows(&expected).await;
    reader.folded_once_and_in_order();
    consumer.status.shows(|report| report.alarms.is_empty()).await;
    consumer.stop().await.unwrap();
    runs.kill().await;
    faults.site()
}

/// The first message of the store is there again.
fn is_sent_again(bus: &MemoryBus) -> bool {
    lanes(bus).concat().iter().any(|message| message.position.get() == 1)
}

#[tokio::test]
async fn killed_anywhere_while_it_goes_back_a_relay_goes_on_from_there() {
    let sites = [("store.claim_progress", 1), ("store.advance_progress", 1), ("producer.produce", 1), ("bus.tail", 1)];
    killed_anywhere(&sites, story).await;
}

#[tokio::test]
async fn while_the_bus_is_down_a_rewind_is_written_down_and_survives_a_restart() {
    let (world, bus, expected) = published().await;
    let faults = Faults::none();
    let faulty = faulty(&world, &faults);
    bus.cut_records(&partition_of(0), Offset::new(2));
    let before = lanes(&bus).concat().len();
    let (relay, runs) = relay_of(&faulty);
    relay.status().shows(|report| report.state == LoopState::Live).await;
    faults.bus_is_down(true);
    let head = world.store.heads().await.unwrap().synced;
    let done = relay.rewound(Position::new(4)).await.unwrap();
    assert_eq!(done, Rewound { to: Position::new(4), from: head });
    // Twice, and further back: the deeper one holds; ahead of where it is now, nothing changes.
    assert_eq!(relay.rewound(Position::ZERO).await.unwrap(), Rewound { to: Position::ZERO, from: Position::new(4) });
    assert_eq!(relay.rewound(head).await.unwrap(), Rewound { to: Position::ZERO, from: Position::ZERO });
    runs.kill().await;
    assert_eq!(lanes(&bus).concat().len(), before);
    faults.bus_is_down(false);
    let (relay, runs) = relay_of(&world);
    arrived(&relay, &world).await;
    assert_eq!(relay.resent(), ROUNDS * COUNTERS as u64);
    let reader = reader(&world);
    let consumer = reader.consumer();
    reader.shows(&expected).await;
    reader.folded_once_and_in_order();
    consumer.stop().await.unwrap();
    runs.stop().await.unwrap();
}

#[tokio::test]
async fn two_at_once_are_both_carried_out() {
    let (world, bus, expected) = published().await;
    for partition in partitions() {
        bus.cut_records(&partition, Offset::new(u64::MAX));
    }
    let (relay, runs) = relay_of(&world);
    let (first, second) = tokio::join!(relay.rewound(Position::new(5)), relay.rewound(Position::ZERO));
    assert!(first.is_ok() && second.is_ok_and(|done| done.to == Position::ZERO));
    arrived(&relay, &world).await;
    let reader = reader(&world);
    let consumer = reader.consumer();
    reader.shows(&expected).await;
    reader.folded_once_and_in_order();
    consumer.stop().await.unwrap();
    runs.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let (world, ..) = published().await;
    let (relay, runs) = relay_of(&world);
    relay.status().shows(|report| report.state == LoopState::Live).await;
    let head = world.store.heads().await.unwrap().synced;
    let refused = relay.rewound(head.next()).await;
    assert!(matches!(refused, Err(RewindError::BeyondHead { to, head: at }) if to == head.next() && at == head));
    runs.stop().await.unwrap();
    let refused = relay.rewound(Position::ZERO).await;
    assert!(matches!(refused, Err(RewindError::NotRunning(LoopState::Stopped))));
}

/// The broker lost more than is to be sent again, while nobody looked: what was sent before stays evidence.
#[tokio::test]
async fn a_rewind_hides_no_loss() {
    for lost in 1..=6 {
        let (world, bus, expected) = published().await;
        let (relay, runs) = relay_of(&world);
        relay.status().shows(|report| report.state == LoopState::Live).await;
        runs.stop().await.unwrap();
        let partition = partition_of(0);
        let end = bus.records(&partition).len() as u64;
        bus.lose_records(&partition, Offset::new(end.saturating_sub(lost)));
        let (relay, runs) = relay_of(&world);
        let head = world.store.heads().await.unwrap().synced;
        relay.rewound(Position::new(head.get() - 1)).await.unwrap();
        let reader = reader(&world);
        let consumer = reader.consumer();
        reader.shows(&expected).await;
        reader.folded_once_and_in_order();
        consumer.stop().await.unwrap();
        runs.stop().await.unwrap();
    }
}

#[tokio::test]
async fn after_a_restore_what_both_histories_share_is_sent_again_and_where_the_other_was_left_is_told() {
    let (world, bus, _) = published().await;
    let fork = 10;
    for to in [0, 5, fork, fork + 3] {
        let store = copy(world.store.as_ref(), fork, forked(world.store.identity(), fork)).await;
        put_progress(store.as_ref(), &progress(world.store.as_ref()).await).await;
        let world = World { store, bus: Arc::new(crate::restored::copy_bus(&bus).await), ..world.clone() };
        world.publishes().await;
        let mut more = [0; COUNTERS];
        raise_some(world.store.as_ref(), &mut more).await;
        let (relay, runs) = relay_of(&world);
        arrived(&relay, &world).await;
        rewound(&relay, &world, to).await;
        let all = world
            .store
            .read(&factum::store::Selection::everything(), Position::ZERO, factum::store::Direction::Forward, 1_000)
            .await
            .unwrap();
        let raised = all.events.iter().filter(|event| event.name.as_ref() == "counter.raised");
        let mut truth = std::collections::BTreeMap::new();
        for event in raised {
            let raised: crate::world::Raised = serde_json::from_slice(&event.data).unwrap();
            *truth.entry(event.stream.to_string()).or_insert(0) += raised.by;
        }
        let truth: Vec<u64> = truth.into_values().collect();
        let reader = reader(&world);
        let consumer = reader.consumer();
        reader.shows(&truth).await;
        reader.folded_once_and_in_order();
        assert!(consumer.status.report().alarms.is_empty(), "to {to}: {:?}", consumer.status.report().alarms);
        consumer.stop().await.unwrap();
        runs.stop().await.unwrap();
    }
}
