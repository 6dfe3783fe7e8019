//! What the embedded store says when its disk fails, and when its log is damaged.

use std::{
    borrow::Cow,
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use factum::{
    CorrelationId, EventId, Timestamp,
    store::{
        Append, AppendError, Direction, Durability, EngineOptions, EngineStore, EventStore, ExpectedVersion, Metadata,
        NewEvent, OpenError, Position, Receipt, STANDBY_LOOK_EVERY, Selection, StandbyError, StoreError, StreamName,
        Version,
    },
    testing,
};
use factum_engine::{
    Engine,
    sim::{SimDisk, SimFault},
};

use crate::world::{eventually, within};

fn opened(disk: &SimDisk) -> EngineStore {
    EngineStore::new(Engine::open_on(Arc::new(disk.clone()), EngineOptions::default()).unwrap())
}

fn deposit(data: &[u8]) -> Append {
    let id = "00000000-0000-0000-0000-000000000001";
    let metadata = Metadata {
        correlation_id: id.parse::<CorrelationId>().unwrap(),
        causation_id: None,
        actor: factum::ActorId::new(testing::ACTOR).unwrap(),
        bus_command: None,
    };
    let event = NewEvent {
        id: id.parse::<EventId>().unwrap(),
        name: Cow::Borrowed("account.funds-deposited"),
        schema: 1,
        tags: Vec::new(),
        data: data.to_vec(),
    };
    let stream = StreamName::new("account-1").unwrap();
    Append::new(metadata, Timestamp::default()).stream(stream, ExpectedVersion::Any, vec![event])
}

async fn append(store: &EngineStore) -> Result<Receipt, AppendError> {
    store.append(deposit(b"{}")).await
}

async fn count(store: &EngineStore) -> usize {
    store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 100).await.unwrap().events.len()
}

#[tokio::test]
async fn a_standby_waits_for_the_store_and_has_it_when_it_is_let_go_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let waits = Arc::new(AtomicUsize::new(0));
    let standing_by = || {
        let (path, waits) = (path.clone(), Arc::clone(&waits));
        let told = move || {
            waits.fetch_add(1, Ordering::SeqCst);
        };
        tokio::spawn(async move { EngineStore::open_when_free(path, EngineOptions::default(), told).await })
    };
    // Who comes when nobody has it does not wait.
    let first = within(standing_by()).await.unwrap().unwrap();
    assert_eq!(waits.load(Ordering::SeqCst), 0);
    let second = standing_by();
    eventually(|| (waits.load(Ordering::SeqCst) == 1).then_some(()), || "it does not wait".to_owned()).await;
    tokio::time::sleep(STANDBY_LOOK_EVERY * 3).await;
    assert!(!second.is_finished(), "two have it open");
    drop(first);
    let second = within(second).await.unwrap().unwrap();
    assert_eq!(waits.load(Ordering::SeqCst), 1, "it is told once");

    let third = standing_by();
    eventually(|| (waits.load(Ordering::SeqCst) == 2).then_some(()), || "it does not wait".to_owned()).await;
    std::fs::remove_dir_all(&path).unwrap();
    let deleted = within(third).await.unwrap();
    assert!(matches!(deleted, Err(StandbyError::Deleted { .. })), "it made another beside the first");
    drop(second);
}

#[tokio::test]
async fn on_a_full_disk_it_is_unavailable_and_recovers_when_space_returns() {
    let disk = SimDisk::new();
    let store = opened(&disk);
    append(&store).await.unwrap();
    disk.set_space(Some(0));
    let mut written = 1;
    let refused = loop {
        match store.append(deposit(&vec![b'1'; 500_000])).await {
            Ok(_) => written += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, AppendError::Store(StoreError::Full)), "{refused:?}");
    assert_eq!(count(&store).await, written, "reads go on");
    disk.set_space(None);
    append(&store).await.unwrap();
    assert_eq!(count(&store).await, written + 1);
}

#[tokio::test]
async fn after_a_failed_sync_it_is_read_only() {
    let disk = SimDisk::new();
    let store = opened(&disk);
    append(&store).await.unwrap();
    let end = disk.operations();
    (1..=20).for_each(|ahead| disk.fail_at(end + ahead, SimFault::Error(ErrorKind::Other)));
    for _ in 0..2 {
        let refused = append(&store).await.unwrap_err();
        assert!(matches!(refused, AppendError::Store(StoreError::ReadOnly(_))), "{refused:?}");
    }
    assert_eq!(count(&store).await, 1, "reads go on");
}

#[tokio::test]
async fn damage_is_told_and_never_served() {
    let disk = SimDisk::new();
    let store = opened(&disk);
    store.append(deposit(b"\"a document to be found\"")).await.unwrap();
    let segment = "segment-00000001.log";
    let Some(mut bytes) = disk.contents(segment) else { panic!("{:?}", disk.history()) };
    let at = bytes.windows(8).position(|window| window == b"document").unwrap();
    bytes[at] ^= 1;
    disk.tamper(segment, &bytes);
    let result = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 100).await;
    assert!(matches!(result, Err(StoreError::Damaged(_))), "{result:?}");
    let stream = StreamName::new("account-1").unwrap();
    let result = store.read_stream(&stream, Version::ZERO, Direction::Forward, 100).await;
    assert!(matches!(result, Err(StoreError::Damaged(_))), "{result:?}");
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = EngineStore::open(dir.path(), EngineOptions::default()).unwrap();
    let second = EngineStore::open(dir.path(), EngineOptions::default());
    assert!(matches!(second, Err(OpenError::Locked)), "{second:?}");
    store.close().await.unwrap();
    EngineStore::open(dir.path(), EngineOptions::default()).unwrap();
}

#[tokio::test]
async fn with_a_weaker_durability_decisions_see_what_is_written_and_readers_what_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let weaker = EngineOptions::default().durability(Durability::Interval(Duration::from_secs(60)));
    let store = EngineStore::open(dir.path(), weaker).unwrap();
    append(&store).await.unwrap();
    let heads = store.heads().await.unwrap();
    assert_eq!((heads.written, heads.synced), (Position::new(1), Position::ZERO));
    let stream = StreamName::new("account-1").unwrap();
    let loaded = store.read_stream(&stream, Version::ZERO, Direction::Forward, 9).await.unwrap();
    assert_eq!(loaded.events.len(), 1, "for a decision");
    let read = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 9).await.unwrap();
    assert!(read.events.is_empty() && read.end, "for everybody else");
    store.engine().sync().unwrap();
    assert_eq!(store.synced_beyond(Position::ZERO).await.unwrap(), Position::new(1));
    append(&store).await.unwrap();
    store.close().await.unwrap();
    let store = EngineStore::open(dir.path(), EngineOptions::default()).unwrap();
    assert_eq!(store.heads().await.unwrap().synced, Position::new(2), "a clean end syncs");
}

#[tokio::test]
async fn events_of_a_batch_share_the_block_they_were_read_into() {
    let store = opened(&SimDisk::new());
    for _ in 0..2 {
        append(&store).await.unwrap();
    }
    let page =
        store.engine().read(&factum_engine::Selection::everything(), Position::ZERO, Direction::Forward, 2).unwrap();
    let batch = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 2).await.unwrap();
    let distance = |first: &[u8], second: &[u8]| second.as_ptr() as usize - first.as_ptr() as usize;
    assert_eq!(
        distance(&batch.events[0].data, &batch.events[1].data),
        distance(page.events[0].data(), page.events[1].data()),
    );
    assert!(Arc::ptr_eq(&batch.events[0].name, &batch.events[1].name), "a name is made once");
}
