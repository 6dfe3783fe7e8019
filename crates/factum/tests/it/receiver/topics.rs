//! What comes on a topic of commands that is no command, and topics whose sender was restored.

use std::path::{Path, PathBuf};

use factum::{
    bus::Headers,
    receiver::DeadLetterError,
    store::{EngineOptions, EngineStore, Identity},
};

use super::*;
use crate::operator::{because, operator};

/// A record with one header changed, or taken away.
fn with(record: NewRecord, header: &str, value: Option<&str>) -> NewRecord {
    let mut headers = Headers::new();
    for (name, own) in record.headers.iter() {
        match value {
            _ if name != header => headers.push(name.to_owned(), own.to_owned()),
            Some(value) => headers.push(name.to_owned(), value.to_owned()),
            None => {}
        }
    }
    NewRecord { headers, ..record }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_refused_by_its_id() {
    let mut story = Story::with(0).await;
    story.sender.deposit("1", 5).await;
    let (partition, sent) = story.sender.next(Some("2"), "bank.accounts.deposit.v1", &json!({}));
    story.sender.produce(partition, with(sent.encode(), "ce_time", Some("yesterday"))).await;
    story.sender.deposit("3", 6).await;
    story.settled().await;
    let [(id, name, document)]: [_; 1] = story.outcomes().try_into().unwrap();
    assert_eq!((id.as_str(), name.as_str()), ("2", "factum.command-refused.v1"));
    assert_eq!(document["code"], "malformed");
    assert_eq!(story.balance().await, 11, "what follows goes on: it left no hole");
    assert!(story.receiver().alarms.is_empty());
    story.end().await;
}

#[tokio::test]
async fn what_has_no_id_is_put_aside_once_with_an_alarm() {
    let mut story = Story::with(0).await;
    story.sender.deposit("1", 5).await;
    let (partition, sent) = story.sender.next(None, "bank.accounts.deposit.v1", &json!({ "amount": 1 }));
    story.sender.produce(partition.clone(), sent.encode()).await;
    let junk = NewRecord { headers: Headers::new(), value: "what?".into(), ..sent.encode() };
    story.sender.produce(partition, junk).await;
    story.sender.deposit("2", 6).await;
    story.settled().await;
    assert_eq!(story.balance().await, 11);
    let letters = |all: Vec<(String, String, Value)>| -> Vec<Value> {
        all.into_iter().filter(|(_, name, _)| name == "dead-letter.received").map(|(_, _, letter)| letter).collect()
    };
    let kept = letters(story.recorded().await);
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[1]["value"], "d2hhdD8=");
    assert_eq!((&kept[1]["topic"], &kept[1]["value_bytes"]), (&json!(topic()), &json!(5)));
    let alarm = story.receiver().alarms["dead letters"].clone();
    assert!(alarm.starts_with("2 records"), "{alarm}");
    assert_eq!(story.receiver().position, story.receiver().target, "it lags behind nothing");

    // The same records again: they are known.
    let Story { service, store, bus, sender } = story;
    drop(service);
    let forgetful: Arc<dyn EventStore> = Arc::new(factum::testing::FaultyStore::new(&store).named(restored(&store)));
    let story = Story { service: start(&forgetful, &bus).await, store, bus, sender };
    story.settled().await;
    assert_eq!(letters(story.recorded().await), kept);
    assert_eq!(story.balance().await, 11);
    story.end().await;
}

#[tokio::test]
async fn the_alarm_of_dead_letters_lasts_until_somebody_acknowledges_them() {
    let mut story = Story::with(0).await;
    for text in ["what?", "who?", "why?"] {
        let (partition, sent) = story.sender.next(None, "bank.accounts.deposit.v1", &json!(text));
        story.sender.produce(partition, sent.encode()).await;
    }
    story.sender.deposit("1", 5).await;
    story.settled().await;
    // Also in the next process, and in the one after.
    for _ in 0..2 {
        let Story { service, store, bus, sender } = story;
        drop(service);
        story = Story { service: start(&store, &bus).await, store, bus, sender };
        let alarm = || story.receiver().alarms.get("dead letters").cloned();
        let alarm = eventually(alarm, || "no alarm".to_owned()).await;
        assert!(alarm.starts_with("3 records"), "{alarm}");
    }
    let letters = Arc::clone(story.service.dead_letters());
    let (open, listed) = letters.list(2).await.unwrap();
    let texts: Vec<_> = listed.iter().map(|letter| letter.text.as_deref().unwrap()).collect();
    assert_eq!((open, texts), (3, vec!["\"what?\"", "\"who?\""]));
    assert_eq!((listed[0].topic.as_str(), listed[0].value_bytes), (topic().as_str(), 7));

    let second = listed[1].event_id;
    assert_eq!(letters.acknowledge(second, because("a test of ours"), operator()).await.unwrap(), (2, 1));
    let again = letters.acknowledge(listed[0].event_id, because("a test of ours"), operator()).await;
    assert!(matches!(again, Err(DeadLetterError::NotOpen(letter)) if letter == listed[0].event_id), "{again:?}");
    let alarm = story.receiver().alarms["dead letters"].clone();
    assert!(alarm.starts_with("1 records"), "{alarm}");
    let last = letters.list(2).await.unwrap().1.remove(0);
    assert_eq!(letters.acknowledge(last.event_id, because("the same"), operator()).await.unwrap(), (1, 0));
    assert!(story.receiver().alarms.is_empty());

    // What comes later is told again, and who acknowledged is on record.
    let (partition, sent) = story.sender.next(None, "bank.accounts.deposit.v1", &json!({ "amount": 1 }));
    story.sender.produce(partition, sent.encode()).await;
    story.settled().await;
    let events = story.store.read_stream(&last.stream, Version::ZERO, Direction::Forward, 10).await.unwrap().events;
    let names: Vec<_> = events.iter().map(|event| (&*event.name, event.metadata.actor.as_str())).collect();
    let [received, acknowledged] = [("dead-letter.received", "system"), ("dead-letter.acknowledged", "ada")];
    assert_eq!(names, [received, received, received, acknowledged, acknowledged, received]);
    let Story { service, store, bus, sender } = story;
    drop(service);
    let story = Story { service: start(&store, &bus).await, store, bus, sender };
    let alarm = || story.receiver().alarms.get("dead letters").cloned();
    assert!(eventually(alarm, || "no alarm".to_owned()).await.starts_with("1 records"));
    story.end().await;
}

/// The identity of a store after a restore: its progress was written in another history.
fn restored(store: &Arc<dyn EventStore>) -> Identity {
    let identity = store.identity().clone();
    Identity { incarnation: Incarnation::from_uuid(Uuid::from_u128(77)), ..identity }
}

/// The folder in which a receiver has its store, and a copy of it.
struct Folder {
    _temporary: tempfile::TempDir,
    live: PathBuf,
    copy: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (live, copy) = (folder.path().join("live"), folder.path().join("copy"));
        Self { _temporary: folder, live, copy }
    }

    fn store(&self) -> Arc<dyn EventStore> {
        Arc::new(EngineStore::open(&self.live, EngineOptions::default()).unwrap())
    }

    fn is_copied(&self) {
        copy_folder(&self.live, &self.copy);
    }

    /// What came after the copy was made is lost, the receiver's progress with it.
    fn is_restored(&self) {
        std::fs::remove_dir_all(&self.live).unwrap();
        EngineStore::restore(&self.copy, &self.live, &EngineOptions::default()).unwrap();
    }

    /// A story in it, with 10 on the account.
    async fn story(&self) -> Story {
        let (store, bus) = (self.store(), MemoryBus::new());
        let service = start_patiently(&store, &bus).await;
        open(&service, 10).await;
        let sender = Sender::new(&bus).await;
        Story { service, store, bus, sender }
    }
}

impl Story {
    /// The service stops, something is done to its folder, and it starts again.
    async fn after(self, folder: &Folder, happens: impl FnOnce(&Folder)) -> Self {
        let Self { service, store, bus, sender } = self;
        service.stop(LIMIT).await.unwrap();
        drop(store);
        happens(folder);
        let store = folder.store();
        Self { service: start_patiently(&store, &bus).await, store, bus, sender }
    }
}

#[tokio::test]
async fn a_restored_receiver_deals_with_what_its_restore_lost() {
    let folder = Folder::new();
    let mut story = folder.story().await;
    story.sender.deposit("1", 1).await;
    story.settled().await;
    let mut story = story.after(&folder, Folder::is_copied).await;
    story.sender.deposit("2", 2).await;
    story.sender.withdraw("3", 1_000).await;
    story.settled().await;
    assert_eq!(story.balance().await, 13);
    let story = story.after(&folder, Folder::is_restored).await;
    story.settled().await;
    assert_eq!(story.balance().await, 13);
    let names: Vec<_> = story.recorded().await.into_iter().map(|(id, name, _)| (id, name)).collect();
    let expected = [("1", "account.deposited"), ("2", "account.deposited"), ("3", "outcome.refused")];
    assert_eq!(names, expected.map(|(id, name)| (id.to_owned(), name.to_owned())));
    story.end().await;
}

/// As in a process: closing a store takes its time.
async fn start_patiently(store: &Arc<dyn EventStore>, bus: &MemoryBus) -> Service {
    let bus: Arc<dyn Bus> = Arc::new(bus.clone());
    builder(store, &bus, &Runtime::tokio()).start().await.unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test]
async fn a_sender_restored_to_before_what_was_taken_stops_its_partition() {
    let folder = Folder::new();
    let mut story = folder.story().await.after(&folder, Folder::is_copied).await;
    story.sender.deposit("1", 1).await;
    story.sender.deposit("2", 2).await;
    story.settled().await;
    // Restored to its first event: what it sends now stands where another command stood.
    let parent = story.sender.source.incarnation;
    story.sender.source.incarnation = Incarnation::from_uuid(Uuid::from_u128(99));
    story.sender.lineage = vec![Fork { parent, position: Position::new(1) }];
    story.sender.position = 1;
    story.sender.last.fill(1);
    story.sender.deposit("3", 4).await;
    story.shows(|report| !report.alarms.is_empty()).await;
    let alarms = story.receiver().alarms;
    let says = |words: &str| alarms.values().any(|text| text.contains(words));
    assert!(says("forked at 1, you are at 2: see what was heard beyond the fork"), "{alarms:?}");
    assert_eq!(story.balance().await, 13);

    // As it says: now it knows nothing of what its sender has lost.
    let story = story.after(&folder, Folder::is_restored).await;
    story.settled().await;
    assert_eq!(story.balance().await, 15);
    assert!(story.receiver().alarms.is_empty());
    story.end().await;
}

#[tokio::test]
async fn a_hole_on_the_wire_is_seen_and_nothing_behind_it_is_done_until_it_is_filled() {
    let mut story = Story::with(0).await;
    story.sender.deposit("1", 1).await;
    story.settled().await;
    let (partition, lost) =
        story.sender.next(Some("2"), "bank.accounts.deposit.v1", &json!({ "account_id": ACCOUNT, "amount": 2 }));
    let (_, after) =
        story.sender.next(Some("3"), "bank.accounts.deposit.v1", &json!({ "account_id": ACCOUNT, "amount": 4 }));
    story.sender.produce(partition.clone(), after.encode()).await;
    story.shows(|report| !report.alarms.is_empty()).await;
    assert_eq!(story.balance().await, 1);
    story.sender.produce(partition.clone(), lost.encode()).await;
    story.sender.produce(partition, after.encode()).await;
    story.shows(|report| report.alarms.is_empty()).await;
    story.settled().await;
    assert_eq!(story.balance().await, 7);
    story.end().await;
}
