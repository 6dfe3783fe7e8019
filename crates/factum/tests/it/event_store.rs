//! The event stores keep the contract.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use factum::{
    ActorId, CommandId, CorrelationId, EventId, ExpectedVersion, Position, StreamName,
    store::{
        Append, CommandRecord, Durability, EngineOptions, EngineStore, EventStore, Fingerprint, Fork, MemoryStore,
        Metadata, NewEvent,
    },
    testing::{self, NOW},
};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_the_contract() {
    testing::event_store_suite(&|| Arc::new(MemoryStore::new())).await;
}

async fn embedded(options: EngineOptions) {
    let dir = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    testing::event_store_suite(&|| {
        let name = made.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(EngineStore::open(dir.path().join(name), options.clone()).unwrap())
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

#[tokio::test]
async fn a_restored_memory_store_has_whole_appends_and_goes_on_beside_the_old_one() {
    let old = MemoryStore::seeded(1);
    // Two events an append.
    let append = async |store: &MemoryStore, number: u128| {
        let data = |event: u128| NewEvent {
            id: EventId::from_uuid(Uuid::from_u128(10 * number + event)),
            name: "account.opened".into(),
            schema: 1,
            tags: Vec::new(),
            data: b"{}".to_vec(),
        };
        let (correlation_id, actor) = (CorrelationId::from_uuid(Uuid::nil()), ActorId::system());
        let metadata = Metadata { correlation_id, causation_id: None, actor, bus_command: None };
        let command =
            CommandRecord { id: CommandId::from_uuid(Uuid::from_u128(number)), fingerprint: Fingerprint([0; 16]) };
        let stream = StreamName::new("account-1").unwrap();
        let append = Append::new(metadata, NOW).stream(stream, ExpectedVersion::Any, vec![data(1), data(2)]);
        store.append(append.command(command)).await.unwrap()
    };
    for number in 1..=3 {
        append(&old, number).await;
    }
    let claimed = old.claim_progress("relay/a").await.unwrap();
    let restored = old.restored_at(Position::new(3));
    assert_eq!(restored.heads().await.unwrap().synced, Position::new(2), "the second append ended beyond it");
    let (before, after) = (old.identity(), restored.identity());
    assert_eq!((after.store, after.key), (before.store, before.key));
    assert_ne!(after.incarnation, before.incarnation);
    assert_eq!(after.forks, [Fork { parent: before.incarnation, position: Position::new(2) }]);
    assert_ne!(restored.progress("relay/a").await.unwrap(), claimed);
    // A copy is as old as it is; what is restored from it knows how far its relays were then.
    let copy = old.copied();
    old.advance_progress("relay/a", claimed.epoch, None, b"later").await.unwrap();
    let whole = copy.restored_with_progress_at(Position::MAX);
    assert_eq!((copy.identity(), whole.heads().await.unwrap().synced), (before, Position::new(6)));
    assert_eq!(whole.progress("relay/a").await.unwrap(), claimed);
    assert_eq!(whole.identity().forks, [Fork { parent: before.incarnation, position: Position::new(6) }]);
    let cut = old.restored_with_progress_at(Position::new(3));
    assert_eq!(cut.progress("relay/a").await.unwrap().value.as_deref(), Some(&b"later"[..]));
    assert_eq!(cut.heads().await.unwrap().synced, Position::new(2));
    // What was kept is known, what was lost is new.
    assert!(append(&restored, 1).await.repeated);
    let again = append(&restored, 2).await;
    assert!(!again.repeated);
    assert_eq!((again.last.get(), again.streams[0].1.get()), (4, 4));
    assert_eq!(append(&old, 4).await.last, Position::new(8));
    assert_eq!(old.restored_at(Position::MAX).heads().await.unwrap().written, Position::new(8));
    assert_eq!(old.restored_at(Position::ZERO).heads().await.unwrap().written, Position::ZERO);
}
