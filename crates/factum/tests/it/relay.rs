//! From an event store through a bus into another service's read model.

use std::time::Duration;

use factum::{Position, Runtime};

use crate::world::{
    CounterEvent, Polished, TOPIC, World, append, message, partition_of, partitions, raise, within, world,
    world_on_disk,
};

#[tokio::test]
async fn what_happens_in_one_service_is_seen_in_another() {
    let (world, bus) = world();
    let (relay, consumer) = (world.relay(), world.consumer());
    raise(world.store.as_ref(), 1, 5).await;
    append(world.store.as_ref(), 1, CounterEvent::Polished(Polished {})).await;
    raise(world.store.as_ref(), 2, 7).await;
    raise(world.store.as_ref(), 1, 10).await;
    world.shows(&[15, 7]).await;
    world.folded_once_and_in_order();

    let lane: Vec<_> = bus.records(&partition_of(1)).iter().map(message).collect();
    assert_eq!(lane[0].previous.get(), 0);
    for pair in lane.windows(2) {
        assert_eq!(pair[1].previous, pair[0].position);
    }
    relay.stop().await.unwrap();
    consumer.stop().await.unwrap();

    // Everything goes on where it was: nothing is sent or applied again.
    let sent: usize = partitions().map(|partition| bus.records(&partition).len()).sum();
    let (relay, consumer) = (world.relay(), world.consumer());
    raise(world.store.as_ref(), 2, 1).await;
    world.shows(&[15, 8]).await;
    world.folded_once_and_in_order();
    assert_eq!(partitions().map(|partition| bus.records(&partition).len()).sum::<usize>(), sent + 1);
    relay.stop().await.unwrap();
    consumer.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_disk_everything_is_there_after_a_restart_even_without_the_bus() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = [0; 4];
    for round in 1..=4 {
        if round == 3 {
            // The relay sends everything again; the read model, which is empty each time here, is filled from it.
            std::fs::remove_dir_all(directory.path().join("bus")).unwrap();
        }
        let world = world_on_disk(directory.path());
        let (relay, consumer) = (world.relay(), world.consumer());
        for counter in 0..4 {
            raise(world.store.as_ref(), counter, round).await;
            expected[counter as usize] += round;
        }
        world.shows(&expected).await;
        world.folded_once_and_in_order();
        relay.stop().await.unwrap();
        consumer.stop().await.unwrap();
        world.bus.close().await.unwrap();
        world.store.close().await.unwrap();
    }
}

/// The checkpoint was stored after each batch: a sync for which the next messages waited.
#[tokio::test]
async fn the_checkpoint_is_stored_now_and_then_and_at_the_end() {
    let (runtime, clock) = Runtime::manual(1);
    let world = World { runtime, ..world().0 };
    let store = world.store.as_ref();
    let relay = world.relay();
    let read_to = || async {
        let stored = store.progress(&format!("relay/{TOPIC}")).await.unwrap().value?;
        serde_json::from_slice::<serde_json::Value>(&stored).unwrap()["read_to"].as_u64()
    };
    let is_stored = |position: Position| {
        within(async move {
            while read_to().await != Some(position.get()) {
                tokio::task::yield_now().await;
            }
        })
    };
    let first = raise(store, 1, 1).await;
    is_stored(first).await;
    let mut last = first;
    for sent in 2..=5 {
        last = raise(store, 1, 1).await;
        relay.status.shows(|report| report.processed == sent).await;
    }
    assert_eq!(read_to().await, Some(first.get()), "stored just now");
    clock.advance(Duration::from_millis(50));
    is_stored(last).await;
    let last = raise(store, 1, 1).await;
    relay.status.shows(|report| report.processed == 6).await;
    relay.stop().await.unwrap();
    assert_eq!(read_to().await, Some(last.get()));
}
