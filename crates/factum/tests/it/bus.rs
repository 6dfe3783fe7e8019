//! The buses keep the contract.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use factum::{
    bus::{Bus, BusError, BusEvent, ConsumerOptions, LocalBus, LocalBusError, LocalBusOptions, MemoryBus, TopicSpec},
    testing,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_bus_keeps_the_contract() {
    testing::bus_suite(&|| Arc::new(MemoryBus::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_bus_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    testing::bus_suite(&|| {
        let name = made.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(LocalBus::open(directory.path().join(name), LocalBusOptions::default()).unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_bus_keeps_everything_when_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    testing::bus_reopening_suite(&|| Arc::new(LocalBus::open(directory.path(), LocalBusOptions::default()).unwrap()))
        .await;
}

#[tokio::test]
async fn a_directory_has_one_bus_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let _open = LocalBus::open(directory.path(), LocalBusOptions::default()).unwrap();
    let second = LocalBus::open(directory.path(), LocalBusOptions::default());
    let Err(error @ LocalBusError::Open { .. }) = second else { panic!("opened twice") };
    assert!(error.to_string().contains("another process"), "{error}");
}

#[tokio::test]
async fn a_deleted_topic_is_lost_to_its_readers_and_comes_back_empty() {
    let bus = MemoryBus::new();
    let topic = [TopicSpec::new("shop.counters.counter.events", 2).unwrap()];
    bus.ensure_topics(&topic).await.unwrap();
    let options = ConsumerOptions {
        group: "group".to_owned(),
        topics: vec![topic[0].name.clone()],
        assignment: factum::bus::Assignment::Group,
    };
    let mut reader = bus.consumer(options).await.unwrap();
    assert!(matches!(reader.next().await, Ok(BusEvent::Assigned(partitions)) if partitions.len() == 2));
    bus.delete_topic(&topic[0].name);
    let Ok(BusEvent::Revoked(partitions, revocation)) = reader.next().await else { panic!("nothing was revoked") };
    assert!(revocation.lost() && partitions.len() == 2);
    assert!(matches!(bus.partitions(&topic[0].name).await, Err(BusError::UnknownTopic(_))));
    bus.ensure_topics(&topic).await.unwrap();
    assert!(matches!(reader.next().await, Ok(BusEvent::Assigned(partitions)) if partitions.len() == 2));
}
