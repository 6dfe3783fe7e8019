//! What the routes for operators have in common.

use schemars::Schema;
use serde_json::{Value, json};

use super::{
    components::{Components, Side},
    example,
    refusals::{self, Refusal},
    routes::get,
};

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

/// How many an answer is to have.
pub(super) fn limit_of(what: &str, (usual, max): (usize, usize)) -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": max, "default": usual });
    json!({ "name": "limit", "in": "query", "required": false, "description": what, "schema": schema })
}

pub(super) fn correlation() -> Value {
    json!({ "$ref": "#/components/parameters/Factum-Correlation-Id" })
}
