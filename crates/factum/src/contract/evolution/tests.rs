use serde_json::json;

use super::*;

fn index() -> Value {
    json!({
        "system": "bank", "service": "accounts", "on_every_topic": ["factum.history-left.v1"],
        "topics": [{ "name": "events", "key": "stream", "partitions": 12, "messages": ["opened.v1", "closed.v1"] }],
        "commands": [{ "name": "commands.transfers", "sender": "transfers", "key": "the stream", "commands": ["hold.v1"] }],
    })
}

fn schema() -> Value {
    json!({
        "$id": "urn:factum:message:opened.v1", "title": "Opened", "type": "object",
        "properties": {
            "amount": { "type": "integer", "minimum": 1 },
            "currency": { "$ref": "#/$defs/Currency", "description": "The account's." },
            "kind": { "enum": ["giro", "savings"] },
            "note": { "type": ["string", "null"] },
            "owner": { "$ref": "#/$defs/Owner" },
            "parts": { "type": "array", "items": { "$ref": "#/$defs/Owner" } },
        },
        "required": ["amount", "currency"],
        "$defs": {
            "Currency": { "type": "string", "pattern": "^[A-Z]{3}$" },
            "Owner": {
                "type": "object",
                "properties": { "name": { "type": "string" }, "heir": { "$ref": "#/$defs/Owner" } },
                "required": ["name"],
            },
        },
    })
}

fn contract() -> BTreeMap<String, Value> {
    BTreeMap::from([(INDEX.to_owned(), index()), ("schemas/opened.v1.json".to_owned(), schema())])
}

/// What is found when a document becomes another.
fn after(file: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let (released, mut current) = (contract(), contract());
    change(current.get_mut(file).unwrap());
    breaking_changes(&released, &current).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Value), says: &str) {
    let found = after("schemas/opened.v1.json", change);
    assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
}

#[track_caller]
fn allowed(change: impl FnOnce(&mut Value)) {
    assert_eq!(after("schemas/opened.v1.json", change), [""; 0]);
}

fn without(object: &mut Value, field: &str) {
    object.as_object_mut().unwrap().remove(field).unwrap();
}

#[test]
fn nothing_changed_breaks_nobody() {
    assert_eq!(breaking_changes(&contract(), &contract()), []);
    assert_eq!(breaking_changes(&BTreeMap::new(), &contract()), [], "the first release");
}

#[test]
fn a_field_that_is_gone_is_refused() {
    refused(|schema| without(&mut schema["properties"], "note"), "/properties: the field `note` is gone");
    let nested = |schema: &mut Value| without(&mut schema["$defs"]["Owner"]["properties"], "heir");
    let found = after("schemas/opened.v1.json", nested);
    assert_eq!(found.len(), 2, "wherever it is referred to: {found:?}");
    assert!(found[0].contains("/properties/owner/properties: the field `heir` is gone"), "{found:?}");
}

#[test]
fn a_type_that_changed_is_refused() {
    refused(|schema| schema["properties"]["amount"]["type"] = json!("string"), "was \"integer\" and is \"string\"");
    refused(|schema| schema["properties"]["note"]["type"] = json!("string"), "/properties/note/type");
    refused(|schema| schema["properties"]["amount"]["type"] = json!(["integer", "null"]), "/properties/amount/type");
    refused(|schema| schema["properties"]["owner"] = json!(true), "/properties/owner: `schema` was");
    refused(|schema| without(&mut schema["properties"]["amount"], "type"), "is null");
    allowed(|schema| schema["properties"]["note"]["type"] = json!(["null", "string"]));
}

#[test]
fn a_field_that_becomes_required_or_is_so_no_more_is_refused() {
    refused(|schema| schema["required"] = json!(["amount", "currency", "note"]), "`note` is required now");
    refused(|schema| schema["required"] = json!(["amount"]), "`currency` is not required any more");
    refused(
        |schema| {
            schema["properties"]["branch"] = json!({ "type": "string" });
            schema["required"] = json!(["amount", "currency", "branch"]);
        },
        "`branch` is required now",
    );
    allowed(|schema| schema["required"] = json!(["currency", "amount"]));
}

#[test]
fn a_limit_that_changed_is_refused_whichever_way() {
    refused(|schema| schema["properties"]["amount"]["minimum"] = json!(0), "`minimum` was 1 and is 0");
    refused(|schema| schema["properties"]["amount"]["minimum"] = json!(2), "`minimum` was 1 and is 2");
    refused(|schema| schema["properties"]["amount"]["maximum"] = json!(9), "`maximum` was not there and is 9");
    refused(|schema| schema["properties"]["kind"]["enum"] = json!(["giro"]), "/properties/kind/enum");
    refused(|schema| schema["properties"]["kind"]["enum"] = json!(["giro", "savings", "youth"]), "`enum`");
    refused(|schema| schema["$defs"]["Currency"]["pattern"] = json!("^[A-Z]+$"), "/properties/currency/pattern");
    refused(|schema| schema["additionalProperties"] = json!(false), "`additionalProperties` was not there");
}

#[test]
fn a_field_that_need_not_be_there_is_allowed_unless_readers_were_told_otherwise() {
    let branch = json!({ "type": "string" });
    allowed(|schema| schema["properties"]["branch"] = branch.clone());
    allowed(|schema| schema["$defs"]["Owner"]["properties"]["branch"] = branch.clone());
    let (mut released, mut current) = (contract(), contract());
    for one in [&mut released, &mut current] {
        one.get_mut("schemas/opened.v1.json").unwrap()["additionalProperties"] = json!(false);
    }
    current.get_mut("schemas/opened.v1.json").unwrap()["properties"]["branch"] = branch;
    let found = breaking_changes(&released, &current);
    assert!(
        matches!(&found[..], [Breaking { change: Change::FieldRefused(name), .. }] if name == "branch"),
        "{found:?}"
    );
}

#[test]
fn words_for_people_and_the_names_of_definitions_are_allowed_to_change() {
    allowed(|schema| schema["properties"]["amount"]["description"] = json!("How much."));
    allowed(|schema| schema["title"] = json!("AccountOpened"));
    allowed(|schema| {
        schema["$defs"]["Money"] = schema["$defs"]["Currency"].clone();
        schema["properties"]["currency"]["$ref"] = json!("#/$defs/Money");
    });
    allowed(|schema| schema["properties"]["currency"] = schema["$defs"]["Currency"].clone());
}

#[test]
fn a_message_that_is_renamed_is_refused_and_a_new_one_is_allowed() {
    let (released, mut renamed) = (contract(), contract());
    let schema = renamed.remove("schemas/opened.v1.json").unwrap();
    renamed.insert("schemas/begun.v1.json".to_owned(), schema);
    renamed.get_mut(INDEX).unwrap()["topics"][0]["messages"] = json!(["begun.v1", "closed.v1"]);
    let found: Vec<String> = breaking_changes(&released, &renamed).iter().map(ToString::to_string).collect();
    assert!(found[0].starts_with("index.json /topics/0/messages: `opened.v1` was released here"), "{found:?}");
    assert!(found[1].starts_with("schemas/opened.v1.json: it was released, and is gone"), "{found:?}");
    assert_eq!(found.len(), 2);

    let mut more = contract();
    more.insert("schemas/frozen.v1.json".to_owned(), json!({ "type": "object" }));
    more.get_mut(INDEX).unwrap()["topics"][0]["messages"] = json!(["opened.v1", "frozen.v1", "closed.v1"]);
    assert_eq!(breaking_changes(&released, &more), []);
}

#[test]
fn topics_and_commands_stay_what_they_were() {
    let says = |change: &dyn Fn(&mut Value), says: &str| {
        let found = after(INDEX, change);
        assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
    };
    says(&|index| index["topics"][0]["partitions"] = json!(24), "`partitions` was 12 and is 24");
    says(&|index| index["topics"][0]["key"] = json!("none"), "/topics/0/key");
    says(&|index| index["topics"][0]["name"] = json!("other"), "`events` was released here");
    says(&|index| index["commands"][0]["commands"] = json!([]), "`hold.v1` was released here");
    says(&|index| index["commands"] = json!([]), "`commands.transfers` was released here");
    says(&|index| index["service"] = json!("ledger"), "`service` was \"accounts\"");
    says(&|index| index["on_every_topic"] = json!([]), "`factum.history-left.v1`");
    let more = |index: &mut Value| {
        let topic = json!({ "name": "outcomes", "key": "stream", "partitions": 12, "messages": [] });
        index["topics"].as_array_mut().unwrap().insert(0, topic);
    };
    assert_eq!(after(INDEX, more), [""; 0]);
}
