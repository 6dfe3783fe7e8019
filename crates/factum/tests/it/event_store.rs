//! The event stores keep the contract.

use std::sync::Arc;

use factum::{
    store::{EventStore, MemoryStore},
    testing,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_the_contract() {
    testing::event_store_suite(&|| Arc::new(MemoryStore::new())).await;
}

#[test]
fn a_seed_gives_the_same_identity_again() {
    let (store, again, other) = (MemoryStore::seeded(1), MemoryStore::seeded(1), MemoryStore::seeded(2));
    assert_eq!(store.identity(), again.identity());
    assert_ne!(store.identity().store, other.identity().store);
    assert_ne!(store.identity().key, other.identity().key);
    assert_ne!(store.identity().store.as_uuid(), store.identity().incarnation.as_uuid());
}
