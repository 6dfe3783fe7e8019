//! The routes about what is quarantined.

use schemars::Schema;
use serde_json::{Value, json};

use super::{
    components::{Components, Side},
    example,
    refusals::{self, Refusal},
    routes::get,
};
use crate::surface::{
    DiscardBody, HandledAnswer, PARKED_DEFAULT, PARKED_MAX, ParkedAnswer, QuarantineAnswer, RetryBody,
};

/// Path, method and operation of each.
pub(super) fn routes(components: &mut Components) -> Vec<(&'static str, &'static str, Value)> {
    let answer = schemars::schema_for!(QuarantineAnswer);
    let what = "The keys that are parked, each with why its first message failed. For callers on the same \
                machine.";
    let mut list = operation("admin-quarantine", what, ("QuarantineAnswer", &answer), components);
    list["parameters"] = json!([limit("How many keys of each handler at most."), correlation()]);
    let answer = schemars::schema_for!(ParkedAnswer);
    let what = "A parked key with its messages, in order. For callers on the same machine.";
    let mut show = operation("admin-quarantine-messages", what, ("ParkedAnswer", &answer), components);
    let limit = limit("How many messages at most.");
    show["parameters"] =
        json!([text("handler", "Which handler has it parked."), text("key", "The key."), limit, correlation()]);
    let answer = schemars::schema_for!(HandledAnswer);
    let what = "Tries a key's messages again, in order, until one fails again. For callers on the same machine.";
    let mut retry = operation("admin-quarantine-retry", what, ("HandledAnswer", &answer), components);
    take(&mut retry, ("QuarantineRetry", &schemars::schema_for!(RetryBody)), components);
    let what = "Drops a key's first message for good, also in every rebuild; what stands behind it stays parked until it \
                is tried again. For callers on the same machine.";
    let mut discard = operation("admin-quarantine-discard", what, ("HandledAnswer", &answer), components);
    take(&mut discard, ("QuarantineDiscard", &schemars::schema_for!(DiscardBody)), components);
    vec![
        ("/admin/quarantine", "get", list),
        ("/admin/quarantine/messages", "get", show),
        ("/admin/quarantine/retry", "post", retry),
        ("/admin/quarantine/discard", "post", discard),
    ]
}

fn operation(name: &str, what: &str, answer: (&str, &Schema), components: &mut Components) -> Value {
    operation_of(("Quarantine", refusals::of_quarantine()), (name, what), answer, components)
}

/// A route for operators with its answer, and a family of refusals besides those of every route.
pub(super) fn operation_of(
    (family, refused): (&str, Vec<Refusal>),
    (name, what): (&str, &str),
    (called, answer): (&str, &Schema),
    components: &mut Components,
) -> Value {
    let schema = components.schema(called, answer, Side::Answer);
    let content = json!({ "application/json": { "example": example::of(&schema, components), "schema": schema } });
    let mut operation = get(name, what, content, &[], components);
    if let Some(responses) = operation["responses"].as_object_mut() {
        refusals::add(responses, family, [refusals::of_every_route(), refused].concat(), components);
    }
    operation
}

/// A route with a body.
pub(super) fn take(operation: &mut Value, (called, body): (&str, &Schema), components: &mut Components) {
    let schema = components.schema(called, body, Side::Request);
    let content = json!({ "application/json": { "example": example::of(&schema, components), "schema": schema } });
    operation["requestBody"] = json!({ "required": true, "content": content });
}

fn limit(what: &str) -> Value {
    limit_of(what, (PARKED_DEFAULT, PARKED_MAX))
}

/// How many an answer is to have.
pub(super) fn limit_of(what: &str, (usual, max): (usize, usize)) -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": max, "default": usual });
    json!({ "name": "limit", "in": "query", "required": false, "description": what, "schema": schema })
}

fn text(name: &str, what: &str) -> Value {
    json!({ "name": name, "in": "query", "required": true, "description": what, "schema": { "type": "string" } })
}

pub(super) fn correlation() -> Value {
    json!({ "$ref": "#/components/parameters/Factum-Correlation-Id" })
}
