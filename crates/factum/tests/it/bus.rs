//! The buses keep the contract.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use factum::{
    bus::{Bus, BusError, BusEvent, ConsumerOptions, LocalBus, LocalBusError, LocalBusOptions, MemoryBus, TopicSpec},
    store::STANDBY_LOOK_EVERY,
    testing,
};

use crate::world::{eventually, within};

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

#[tokio::test]
async fn a_standby_waits_for_its_directory_and_has_it_when_it_is_let_go_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus");
    let first = LocalBus::open(&path, LocalBusOptions::default()).unwrap();
    let waits = Arc::new(AtomicUsize::new(0));
    let standing_by = |waits: &Arc<AtomicUsize>| {
        let (path, waits) = (path.clone(), Arc::clone(waits));
        let told = move || {
            waits.fetch_add(1, Ordering::SeqCst);
        };
        tokio::spawn(async move { LocalBus::open_when_free(path, LocalBusOptions::default(), told).await })
    };
    let second = standing_by(&waits);
    eventually(|| (waits.load(Ordering::SeqCst) == 1).then_some(()), || "it does not wait".to_owned()).await;
    tokio::time::sleep(STANDBY_LOOK_EVERY * 3).await;
    assert!(!second.is_finished(), "two have it open");
    first.close().await.unwrap();
    let second = within(second).await.unwrap().unwrap();
    assert_eq!(waits.load(Ordering::SeqCst), 1, "it is told once");

    let third = standing_by(&waits);
    eventually(|| (waits.load(Ordering::SeqCst) == 2).then_some(()), || "it does not wait".to_owned()).await;
    std::fs::remove_dir_all(&path).unwrap();
    let deleted = within(third).await.unwrap();
    assert!(matches!(deleted, Err(LocalBusError::Deleted { .. })), "it made another beside the first");
    assert!(!path.exists());
    drop(second);
    // Who comes when nobody has it does not wait.
    let fourth = within(standing_by(&waits)).await.unwrap();
    assert!(fourth.is_ok() && waits.load(Ordering::SeqCst) == 2);
}
