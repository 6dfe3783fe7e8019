//! A contract that is kept, against the code: every way in which they differ is found and told.

use std::{fs, path::Path};

use factum::{
    Delivery, Message, MessageType, OutgoingMessage, Publication,
    contract::{Contract, Difference, ReleaseError, breaks, compare, release, rewrite},
    receiver::Takes,
    testing::{NoEvent, assert_contract},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accounts::{ACCOUNT, CloseAccount, Deposit};

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

/// What lamps takes from the butler, besides what it publishes.
fn received() -> Contract {
    let deposit = Deposit { account_id: ACCOUNT, amount: 5 };
    let close = CloseAccount { account_id: ACCOUNT };
    let from_butler = |commands: Takes| commands.takes::<Deposit>().takes::<CloseAccount>();
    contract().receives_from("butler", from_butler).command_sample("full", &deposit).command_sample("full", &close)
}

#[test]
fn commands_taken_are_part_of_it_and_with_them_their_outcomes() {
    let files = received().files();
    let index: serde_json::Value = serde_json::from_str(&files["index.json"]).unwrap();
    let taken = serde_json::json!([{
        "name": "house.lamps.commands.butler",
        "sender": "butler",
        "key": "the stream of the aggregate it is for",
        "commands": ["house.lamps.deposit.v1", "house.lamps.close-account.v1"],
    }]);
    assert_eq!(index["commands"], taken);
    let outcomes = &index["topics"][1];
    assert_eq!(outcomes["name"], "house.lamps.outcome.events");
    let messages = ["factum.command-refused.v1", "factum.command-nothing-to-do.v1"];
    assert_eq!(outcomes["messages"], serde_json::json!(messages));
    assert_eq!(outcomes["partitions"], 12);
    let schema = &files["schemas/house.lamps.deposit.v1.json"];
    assert!(schema.contains(r#""$id": "urn:factum:message:house.lamps.deposit.v1""#), "{schema}");
    assert!(files["samples/house.lamps.deposit.v1/full.json"].contains("5"));
    for name in messages {
        assert!(files.contains_key(&format!("schemas/{name}.json")), "{files:?}");
        assert!(files.contains_key(&format!("samples/{name}/full.json")), "{files:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    rewrite(&received(), folder.path()).unwrap();
    assert_contract(&received(), folder.path());
}

#[test]
fn a_command_without_a_sample_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let bare = contract().receives_from("butler", |commands| commands.takes::<Deposit>());
    rewrite(&bare, folder.path()).unwrap();
    assert_eq!(compare(&bare, folder.path()).unwrap(), [Difference::NoSample("house.lamps.deposit.v1".to_owned())]);
}

#[test]
#[should_panic(expected = "taken from nobody")]
fn a_sample_of_a_command_that_is_not_taken_is_none() {
    let _ = contract().command_sample("full", &CloseAccount { account_id: ACCOUNT });
}

/// A lamp gives less light.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "house.lamps.dimmed.v1")]
struct LampDimmed {}

struct DimmedLamps;

impl Publication for DimmedLamps {
    const TOPIC: &'static str = Lamps::TOPIC;
    const PARTITIONS: u32 = Lamps::PARTITIONS;
    const MESSAGES: &'static [MessageType] = &[MessageType::of::<LampLit>(), MessageType::of::<LampDimmed>()];
    type Event = NoEvent;

    fn translate(event: &NoEvent, _: &Delivery) -> Option<OutgoingMessage> {
        match *event {}
    }
}

/// The lamps with one message less, and another instead.
fn renamed() -> Contract {
    Contract::new("house", "lamps")
        .publishes::<DimmedLamps>()
        .sample("full", &LampLit { lamp: 7 })
        .sample("full", &LampDimmed {})
}

#[test]
fn what_was_released_is_broken_for_a_reason_only_and_the_reason_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(breaks(&contract(), folder.path()).unwrap(), [], "nothing was released");
    release(&contract(), folder.path(), None).unwrap();
    rewrite(&contract(), folder.path()).unwrap();
    assert_contract(&contract(), folder.path());

    let before = fs::read(folder.path().join("released/index.json")).unwrap();
    let Err(ReleaseError::Breaking(broken)) = release(&renamed(), folder.path(), None) else { panic!("released") };
    assert_eq!(broken.len(), 2, "the topic's list, and the schema: {broken:?}");
    assert_eq!(fs::read(folder.path().join("released/index.json")).unwrap(), before, "nothing was written");

    release(&renamed(), folder.path(), Some("lamps are never put out any more")).unwrap();
    assert_eq!(breaks(&renamed(), folder.path()).unwrap(), []);
    assert!(!folder.path().join("released/schemas/house.lamps.put-out.v1.json").exists());
    let kept = fs::read_to_string(folder.path().join("released/broken.json")).unwrap();
    assert!(kept.contains("never put out any more") && kept.contains("house.lamps.put-out.v1"), "{kept}");
    // Back again, for another reason: both are kept.
    release(&contract(), folder.path(), Some("they are")).unwrap();
    let kept = fs::read_to_string(folder.path().join("released/broken.json")).unwrap();
    assert!(kept.contains("never put out any more") && kept.contains("they are"), "{kept}");
}

#[test]
#[should_panic(expected = "is broken:")]
fn a_contract_that_breaks_what_was_released_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    release(&contract(), folder.path(), None).unwrap();
    rewrite(&renamed(), folder.path()).unwrap();
    assert_contract(&renamed(), folder.path());
}

#[test]
fn what_was_released_and_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    release(&contract(), folder.path(), None).unwrap();
    fs::write(folder.path().join("released/index.json"), "{").unwrap();
    let error = breaks(&contract(), folder.path()).unwrap_err().to_string();
    assert!(error.contains("released/index.json"), "{error}");
}
