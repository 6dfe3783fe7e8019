//! The read store in memory keeps the contract.

use factum::{read::MemoryReadStore, testing};

#[test]
fn the_memory_store_keeps_the_contract() {
    testing::read_store_suite(&|| Box::new(MemoryReadStore::new()));
    testing::read_generations_suite(&|| Box::new(MemoryReadStore::new()));
}

#[test]
fn clones_of_a_memory_store_share_it() {
    let store = MemoryReadStore::new();
    testing::read_store_reopening_suite(&|| Box::new(store.clone()));
    let store = MemoryReadStore::new();
    testing::read_generations_reopening_suite(&|| Box::new(store.clone()));
}
