//! Generations that take the place of the live one without being compared.

use std::{sync::Arc, time::Instant};

use factum::{
    Service,
    bus::{Bus, MemoryBus, Offset},
    read::{MemoryReadStore, Role},
    rebuild::Operation,
    runtime::StatusReport,
    store::{EventStore, MemoryStore},
};

use super::{COUNTERS, GetSum, KEY, Shop};
use crate::{
    restored::{copy, forked},
    world::{self, Counters, TOPIC, Totals, WAIT_MAX},
};

/// What was published is gone from the bus until its publisher notices: what is filled from the rest is a part, and whole
/// as far as it can tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_is_behind_the_live_one_does_not_replace_it() {
    let (store, bus): (Arc<dyn EventStore>, _) = (Arc::new(MemoryStore::new()), MemoryBus::new());
    let shared: Arc<dyn Bus> = Arc::new(bus.clone());
    let counters = Service::builder("shop", "counters").store(Arc::clone(&store)).bus(Arc::clone(&shared));
    let counters = counters.publishes::<Counters>().start().await.unwrap();
    let read_store = Arc::new(MemoryReadStore::new());
    let totals = Service::builder("shop", "totals").read_store(read_store.clone()).bus(Arc::clone(&shared));
    let totals = totals.runtime(world::impatient()).consumes::<Totals>(&[TOPIC]).answers::<GetSum>();
    let totals = totals.start().await.unwrap();
    let shop = Shop { store, bus: shared, read_store, counters, totals };
    shop.raise(4).await;
    for partition in world::partitions() {
        bus.lose_records(&partition, Offset::new(2));
    }
    let refused = shop.carry_out(Operation::Replace).await.unwrap_err();
    assert!(refused.starts_with("generation 2 is behind the live one: it is at "), "{refused}");
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Live), (2, Role::Replacing)], 4 * COUNTERS));
    // With the next message its publisher notices, and publishes again what was lost.
    shop.raise(1).await;
    let begun = Instant::now();
    // Where waits are over at once, it is given up before it has read them.
    while let Err(refused) = shop.carry_out(Operation::Replace).await {
        assert!(begun.elapsed() < WAIT_MAX, "{refused}");
    }
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Kept), (2, Role::Live)], 5 * COUNTERS));
}

/// Taken up again as a rebuild, it would be compared with what it is to replace, and stay where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_an_end_interrupted_is_taken_up_again_as_one() {
    let shop = Shop::open().await;
    shop.raise(4).await;
    shop.tamper(3, 1_000);
    // As a process leaves it that dies while it fills.
    shop.read_store.generations().unwrap().begin(KEY, Role::Replacing).unwrap();
    let (store, bus, read_store) = shop.leave().await;
    let shop = Shop::on(store, bus, read_store).await;
    world::eventually(|| shop.report().last, || format!("{:?}", shop.report())).await;
    let told = shop.ended(Operation::Replace).await.unwrap();
    assert_eq!(told, "generation 2 answers instead of 1, which is kept and fed");
    assert_eq!(shop.sum().await, 4 * COUNTERS);
    shop.stop().await;
}

/// What a rebuild left because it differs is what a replacement goes on with, also where that is interrupted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_last_is_what_a_generation_is_filled_for() {
    let shop = Shop::open().await;
    shop.raise(2).await;
    shop.tamper(3, 1_000);
    shop.carry_out(Operation::Rebuild).await.unwrap_err();
    assert_eq!(shop.roles(), [(1, Role::Live), (2, Role::Filling)]);
    shop.carry_out(Operation::Replace).await.unwrap();
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Kept), (2, Role::Live)], 2 * COUNTERS));
    shop.stop().await;
}

/// What was said of the generation that stood still was said of whichever answers after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_replaces_one_beyond_a_fork_has_none_of_its_alarms() {
    let shop = Shop::open().await;
    shop.raise(2).await;
    let (store, bus, read_store) = shop.leave().await;
    let restored = copy(&*store, COUNTERS, forked(store.identity(), COUNTERS)).await;
    let shop = Shop::on(restored, bus, read_store).await;
    let loops = || shop.totals.health().loops();
    let stands = |all: &[(String, StatusReport)]| {
        all.iter().any(|(_, report)| report.alarms.values().any(|alarm| alarm.contains("source forked at 5")))
    };
    world::eventually(|| stands(&loops()).then_some(()), || format!("{:?}", loops())).await;
    shop.carry_out(Operation::Replace).await.unwrap();
    let rests = || loops().iter().all(|(_, report)| report.alarms.is_empty() && report.position == report.target);
    world::eventually(|| rests().then_some(()), || format!("{:?}", loops())).await;
    shop.raise(1).await;
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Kept), (2, Role::Live)], 2 * COUNTERS));
    shop.stop().await;
}
