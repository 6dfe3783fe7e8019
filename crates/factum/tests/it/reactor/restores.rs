//! A store that comes back from a backup: its events are others from the fork on, and what was done stays done.

use std::{collections::BTreeMap, sync::Arc};

use factum::{
    reactor::ReactorEnd,
    store::{EventStore, Position},
};

use super::{Receiver, Telling, arrives, raises, start};
use crate::{
    restored::{copy, forked},
    world::{Running, World, raise, within, world},
};

const PROGRESS: &str = "reactor/telling";

/// The first `events` of a store as restored there, with the progress of the reactor as it was.
async fn restored(world: &World, events: u64, progress: &[u8]) -> World {
    let store = copy(world.store.as_ref(), events, forked(world.store.identity(), events)).await;
    put(store.as_ref(), progress).await;
    World { store, ..world.clone() }
}

async fn put(store: &dyn EventStore, value: &[u8]) {
    let claimed = store.claim_progress(PROGRESS).await.unwrap();
    store.advance_progress(PROGRESS, claimed.epoch, claimed.value.as_deref(), value).await.unwrap();
}

async fn progress(store: &dyn EventStore) -> Vec<u8> {
    store.progress(PROGRESS).await.unwrap().value.unwrap()
}

/// Five events, all told.
async fn told_five() -> (World, Receiver) {
    let (world, _bus) = world();
    for counter in [1, 2, 1, 2, 1] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    let receiver = Receiver::new();
    let reactor = start(&world, Telling(receiver.clone()));
    arrives(&reactor, world.store.as_ref()).await;
    reactor.stop().await.unwrap();
    (world, receiver)
}

async fn goes_on(world: &World, receiver: &Receiver) -> Running<ReactorEnd> {
    let reactor = start(world, Telling(receiver.clone()));
    arrives(&reactor, world.store.as_ref()).await;
    reactor
}

#[tokio::test]
async fn restored_to_before_what_was_done_it_reacts_to_what_is_new_and_says_what_is_gone() {
    let (world, receiver) = told_five().await;
    let before = progress(world.store.as_ref()).await;
    let world = restored(&world, 3, &before).await;
    // Other events at the positions of those that were lost.
    for counter in [3, 3] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    let reactor = goes_on(&world, &receiver).await;
    let alarm = reactor.status.report().alarms["restored"].clone();
    assert!(alarm.contains("restored to 3") && alarm.contains("up to 5"), "{alarm}");
    reactor.stop().await.unwrap();
    assert_eq!(receiver.firsts()["counter-3"], [4, 5], "nothing new is left out");
    assert_eq!((receiver.told().len(), receiver.distinct()), (7, 7), "nothing is repeated");
    // It goes on in the present history, and what was said is said once.
    let reactor = goes_on(&world, &receiver).await;
    assert!(reactor.status.report().alarms.is_empty());
    reactor.stop().await.unwrap();
    assert_eq!(receiver.told().len(), 7);
}

#[tokio::test]
async fn restored_with_an_older_progress_it_repeats_under_the_same_ids() {
    let (world, receiver) = told_five().await;
    let (short, older) = (world_of(&world, 2).await, Receiver::new());
    goes_on(&short, &older).await.stop().await.unwrap();
    let world = restored(&world, 4, &progress(short.store.as_ref()).await).await;
    let reactor = goes_on(&world, &receiver).await;
    assert!(reactor.status.report().alarms.is_empty(), "nobody can know");
    reactor.stop().await.unwrap();
    assert_eq!((receiver.told().len(), receiver.distinct()), (7, 5));
    assert_eq!(receiver.told()[5..].iter().map(|told| told.position).collect::<Vec<_>>(), [3, 4]);
}

/// The same store, when it was shorter.
async fn world_of(world: &World, events: u64) -> World {
    let store = copy(world.store.as_ref(), events, world.store.identity().clone()).await;
    World { store, ..world.clone() }
}

#[tokio::test]
async fn a_store_that_went_back_without_a_restore_is_not_reacted_to() {
    let (world, receiver) = told_five().await;
    let short = world_of(&world, 3).await;
    put(short.store.as_ref(), &progress(world.store.as_ref()).await).await;
    let end = start(&short, Telling(receiver.clone())).ended().await;
    assert!(
        matches!(&end, Err(ReactorEnd::StoreWentBack { position, head }) if (position.get(), head.get()) == (5, 3)),
        "{end:?}"
    );
    // Another event stands there than the one that was dealt with.
    let mut other: serde_json::Value = serde_json::from_slice(&progress(world.store.as_ref()).await).unwrap();
    other["event_id"] = uuid::Uuid::nil().to_string().into();
    put(world.store.as_ref(), &serde_json::to_vec(&other).unwrap()).await;
    let end = start(&world, Telling(receiver.clone())).ended().await;
    assert!(matches!(&end, Err(ReactorEnd::Foreign { position }) if *position == Position::new(5)), "{end:?}");
    assert_eq!(receiver.told().len(), 5);
}

#[tokio::test]
async fn the_progress_of_another_store_is_not_gone_on_from() {
    let (world, receiver) = told_five().await;
    let (mut other, _bus) = crate::world::world();
    other.store = Arc::new(factum::store::MemoryStore::seeded(77));
    for _ in 0..9 {
        raise(other.store.as_ref(), 1, 1).await;
    }
    put(other.store.as_ref(), &progress(world.store.as_ref()).await).await;
    let end = within(start(&other, Telling(receiver.clone())).ended()).await;
    assert!(matches!(end, Err(ReactorEnd::Foreign { .. })), "{end:?}");
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
    assert_ne!(receiver.firsts(), BTreeMap::new());
}
