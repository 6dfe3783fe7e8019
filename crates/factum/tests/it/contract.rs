//! A contract that is kept, against the code: every way in which they differ is found and told.

use std::{fs, path::Path};

use factum::{
    Delivery, Message, MessageType, OutgoingMessage, Publication,
    contract::{Contract, Difference, compare, rewrite},
    testing::{NoEvent, assert_contract},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A lamp was lit.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "house.lamps.lit.v1")]
struct LampLit {
    /// Which one.
    lamp: u32,
}

/// A lamp was put out.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "house.lamps.put-out.v1")]
struct LampPutOut {}

struct Lamps;

impl Publication for Lamps {
    const TOPIC: &'static str = "house.lamps.lamp.events";
    const PARTITIONS: u32 = 3;
    const MESSAGES: &'static [MessageType] = &[MessageType::of::<LampLit>(), MessageType::of::<LampPutOut>()];
    type Event = NoEvent;

    fn translate(event: &NoEvent, _: &Delivery) -> Option<OutgoingMessage> {
        match *event {}
    }
}

fn contract() -> Contract {
    Contract::new("house", "lamps")
        .publishes::<Lamps>()
        .sample("full", &LampLit { lamp: 7 })
        .sample("full", &LampPutOut {})
}

fn differences(contract: &Contract, folder: &Path) -> Vec<String> {
    compare(contract, folder).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_written_is_what_the_code_has_and_says_where_messages_are_found() {
    let folder = tempfile::tempdir().unwrap();
    rewrite(&contract(), folder.path()).unwrap();
    assert_contract(&contract(), folder.path());
    let index = fs::read_to_string(folder.path().join("index.json")).unwrap();
    for said in [r#""name": "house.lamps.lamp.events""#, r#""partitions": 3"#, r#""key": "stream""#] {
        assert!(index.contains(said), "{index}");
    }
    let schema = fs::read_to_string(folder.path().join("schemas/house.lamps.lit.v1.json")).unwrap();
    assert!(schema.contains(r#""$id": "urn:factum:message:house.lamps.lit.v1""#), "{schema}");
    assert!(!schema.contains("additionalProperties"), "a publisher may add fields: {schema}");
}

#[test]
fn every_difference_is_told_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    rewrite(&contract(), folder.path()).unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("samples/house.lamps.lit.v1/full.json"), "{\n  \"lantern\": 7\n}\n").unwrap();
    fs::remove_file(file("schemas/house.lamps.put-out.v1.json")).unwrap();
    fs::write(file("samples/house.lamps.lit.v1/old.json"), "{}").unwrap();
    assert_eq!(
        differences(&contract(), folder.path()),
        [
            r#"samples/house.lamps.lit.v1/full.json: kept `"lantern": 7`, the code has `"lamp": 7`"#,
            "schemas/house.lamps.put-out.v1.json is not kept",
            "samples/house.lamps.lit.v1/old.json is kept, but nothing of the kind is published",
        ]
    );
    rewrite(&contract(), folder.path()).unwrap();
    assert_contract(&contract(), folder.path());
}

#[test]
fn a_message_without_a_sample_and_a_folder_that_is_not_there_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let unsampled = Contract::new("house", "lamps").publishes::<Lamps>().sample("full", &LampPutOut {});
    rewrite(&unsampled, folder.path()).unwrap();
    assert_eq!(compare(&unsampled, folder.path()).unwrap(), [Difference::NoSample("house.lamps.lit.v1".to_owned())]);
    let missing = differences(&contract(), &folder.path().join("nowhere"));
    assert_eq!(missing.len(), contract().files().len(), "{missing:?}");
}

#[test]
#[should_panic(expected = "what is published is not what")]
fn a_contract_that_is_not_kept_fails_the_test() {
    assert_contract(&contract(), tempfile::tempdir().unwrap().path());
}

#[test]
#[should_panic(expected = "the message `house.lamps.lit.v1` is published twice")]
fn a_message_is_on_one_topic() {
    let _ = contract().publishes::<Lamps>();
}

#[test]
#[should_panic(expected = "has two samples called `full`")]
fn a_sample_has_a_label_of_its_own() {
    let _ = contract().sample("full", &LampLit { lamp: 8 });
}
