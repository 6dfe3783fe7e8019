//! From an event store through a bus into another service's read model.

use crate::world::{CounterEvent, Polished, append, message, partition_of, partitions, raise, world, world_on_disk};

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
