//! The event stores keep the contract.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use factum::{
    store::{Durability, EngineOptions, EngineStore, EventStore, MemoryStore},
    testing,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_the_contract() {
    testing::event_store_suite(&|| Arc::new(MemoryStore::new())).await;
}

async fn embedded(options: EngineOptions) {
    let dir = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    testing::event_store_suite(&|| {
        let name = made.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(EngineStore::open(&dir.path().join(name), options.clone()).unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_the_contract() {
    embedded(EngineOptions::default()).await;
}

/// What differs is what a power cut may take, and when readers see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_the_contract_when_it_syncs_later() {
    embedded(EngineOptions::default().durability(Durability::Interval(Duration::from_millis(2)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_everything_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    testing::event_store_reopening_suite(&|| {
        Arc::new(EngineStore::open(dir.path(), EngineOptions::default()).unwrap())
    })
    .await;
}

#[test]
fn a_seed_gives_the_same_identity_again() {
    let (store, again, other) = (MemoryStore::seeded(1), MemoryStore::seeded(1), MemoryStore::seeded(2));
    assert_eq!(store.identity(), again.identity());
    assert_ne!(store.identity().store, other.identity().store);
    assert_ne!(store.identity().key, other.identity().key);
    assert_ne!(store.identity().store.as_uuid(), store.identity().incarnation.as_uuid());
}
