//! What `accounts` publishes is what this service understands: the publisher's golden samples, read as data, decoded with
//! the consumer's own types. Nothing else of the other service is touched, here or anywhere.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use factum::{Decoded, Event as _, RawEvent};
use serde_json::{Value, json};
use statements::messages::{ACCOUNT_TOPIC, AccountMessage};

/// The publisher's contract.
fn contract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../accounts/contract")
}

fn document(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let named = entries.map(|entry| {
        let path = entry.expect("the folder can be read").path();
        (path.file_stem().expect("it has a name").to_string_lossy().into_owned(), path)
    });
    named.collect()
}

/// The samples of every message, by the message's name.
fn samples() -> BTreeMap<String, Vec<(String, Value)>> {
    let folders = fs::read_dir(contract().join("samples")).expect("the contract has samples");
    let named = folders.map(|folder| {
        let folder = folder.expect("the folder can be read");
        let read = entries(&folder.path()).into_iter().map(|(label, path)| (label, document(&path)));
        (folder.file_name().to_string_lossy().into_owned(), read.collect())
    });
    named.collect()
}

fn decode(name: &str, document: &Value) -> Decoded<AccountMessage> {
    let data = serde_json::to_vec(document).expect("is JSON");
    let raw = RawEvent { name, schema: 1, data: &data };
    AccountMessage::decode(raw).unwrap_or_else(|error| panic!("{name} is not understood: {error}\n{document:#}"))
}

/// Which of the consumed messages it is: a new one does not compile until the count below is raised.
const fn kind(message: &AccountMessage) -> usize {
    match message {
        AccountMessage::Opened(_) => 0,
        AccountMessage::Deposited(_) => 1,
        AccountMessage::Withdrawn(_) => 2,
        AccountMessage::Held(_) => 3,
        AccountMessage::Credited(_) => 4,
        AccountMessage::Captured(_) => 5,
        AccountMessage::Released(_) => 6,
        AccountMessage::Closed(_) => 7,
    }
}

#[test]
fn every_sample_of_a_consumed_message_is_understood_and_each_has_one() {
    let mut understood = [0; 8];
    for (name, samples) in samples() {
        for (label, sample) in samples {
            let Decoded::Known(message) = decode(&name, &sample) else { continue };
            understood[kind(&message)] += 1;
            assert_eq!(as_sent(&message), only_known(&sample, &message), "{name}/{label} comes through whole");
        }
    }
    assert!(understood.iter().all(|count| *count > 0), "a consumed message has no sample: {understood:?}");
}

#[test]
fn forgotten_holders_are_among_the_samples() {
    let opened = &samples()["bank.accounts.account-opened.v1"];
    let forgotten = opened.iter().filter(|(_, sample)| {
        let message = decode("bank.accounts.account-opened.v1", sample);
        matches!(message, Decoded::Known(AccountMessage::Opened(opened)) if opened.holder.get().is_none())
    });
    assert_eq!(forgotten.count(), 1);
}

#[test]
fn a_message_or_a_field_that_is_added_later_is_tolerated() {
    for (name, samples) in samples() {
        for (_, mut sample) in samples {
            assert!(matches!(decode(&format!("{name}2"), &sample), Decoded::Unknown));
            let before = decode(&name, &sample);
            sample["added_later"] = json!({ "by": ["the sender"] });
            assert_eq!(format!("{:?}", decode(&name, &sample)), format!("{before:?}"));
        }
    }
}

#[test]
fn the_topic_is_where_the_publisher_says() {
    let index = document(&contract().join("index.json"));
    let topics = index["topics"].as_array().expect("a list of topics");
    let topic = topics.iter().find(|topic| topic["name"] == ACCOUNT_TOPIC).expect("the topic is published");
    let published = topic["messages"].as_array().expect("a list of messages");
    for name in samples().keys() {
        assert!(published.iter().any(|message| message == name), "{name} is on another topic");
    }
}

/// A message as this service would write it.
fn as_sent(message: &AccountMessage) -> Value {
    let mut data = Vec::new();
    message.encode(&mut data);
    serde_json::from_slice(&data).expect("is JSON")
}

/// The fields of a sample that the message has, too.
fn only_known(sample: &Value, message: &AccountMessage) -> Value {
    let known = as_sent(message);
    let fields = sample.as_object().expect("a message is an object").clone();
    fields.into_iter().filter(|(name, _)| known.get(name).is_some()).collect()
}
