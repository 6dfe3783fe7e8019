//! The routes that are there whatever a service does.

use factum::rebuild::Operation;
use serde_json::{Map, Value, json};

use super::{
    components::{Components, Side},
    example, parameters, refusals,
};
use crate::surface::{EVENTS_DEFAULT, EVENTS_MAX, ReadModelsAnswer, ReadyAnswer};

/// `/healthz`, `/readyz`, `/metrics` and the document itself.
pub(super) fn of_every_surface(components: &mut Components) -> Vec<(&'static str, Value)> {
    let text = json!({ "text/plain": { "schema": { "type": "string" } } });
    let document = json!({ "application/json": { "schema": { "type": "object", "required": ["openapi"] } } });
    let ready = components.schema("ReadyAnswer", &schemars::schema_for!(ReadyAnswer), Side::Answer);
    let ready = json!({ "application/json": { "example": example::of(&ready, components), "schema": ready } });
    let not_ready =
        json!({ "description": "Not to be sent requests now; `reason` says why.", "content": ready.clone() });
    vec![
        ("/healthz", get("healthz", "Whether the process answers.", text.clone(), &[], components)),
        (
            "/readyz",
            get("readyz", "Whether the service can be sent requests.", ready, &[("503", not_ready)], components),
        ),
        ("/metrics", get("metrics", "What it counts, for Prometheus.", text, &[], components)),
        ("/openapi.json", get("openapi", "This document.", document, &[], components)),
    ]
}

/// `GET /admin/events`.
pub(super) fn admin_events(components: &mut Components) -> Value {
    let lines = json!({ "application/x-ndjson": { "schema": {
        "type": "string",
        "description": "A JSON document a line: `position`, `stream`, `version`, `type`, `data`, and in `metadata` the \
                        event's id, command, cause, correlation, actor, time and schema version.",
    } } });
    let what = "Recorded events in order of position, a line each. An answer may be shorter than asked: only an empty one \
                is the end. For callers on the same machine.";
    let mut operation = get("admin-events", what, lines, &[], components);
    let parameter = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema });
    operation["parameters"] = json!([
        parameter(
            "after",
            "The position to read after.",
            json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX, "default": 0 }),
        ),
        parameter(
            "limit",
            "How many events at most.",
            json!({ "type": "integer", "minimum": 1, "maximum": EVENTS_MAX, "default": EVENTS_DEFAULT }),
        ),
        { "$ref": "#/components/parameters/Factum-Correlation-Id" },
    ]);
    if let Some(responses) = operation["responses"].as_object_mut() {
        let all = [refusals::of_every_route(), refusals::of_admin_events()].concat();
        refusals::add(responses, "Admin", all, components);
    }
    operation
}

/// `GET /admin/read-models`.
pub(super) fn read_models(components: &mut Components) -> Value {
    let what = "How the read models are: their generations, what is under way, and how far it is. For callers on the \
                same machine.";
    let mut operation = get("admin-read-models", what, read_models_content(components), &[], components);
    add_refusals(&mut operation, components);
    operation
}

/// `POST /admin/read-models/{operation}`.
pub(super) fn rebuild(components: &mut Components) -> Value {
    let what = "Begins an operation on read models, which go on answering; asking twice is asking once. For callers on \
                the same machine.";
    let mut operation = get("admin-read-models-begin", what, read_models_content(components), &[], components);
    if let Some(begun) = operation["responses"].as_object_mut().and_then(|responses| responses.remove("200")) {
        operation["responses"]["202"] = begun;
    }
    let words = Operation::ALL.map(Operation::as_str);
    operation["parameters"] = json!([
        {
            "name": "operation",
            "in": "path",
            "required": true,
            "description": "What to do.",
            "schema": { "type": "string", "enum": words },
        },
        {
            "name": "projection",
            "in": "query",
            "required": false,
            "description": "Whose read model; all of them without it.",
            "schema": { "type": "string" },
        },
        { "$ref": "#/components/parameters/Factum-Correlation-Id" },
    ]);
    add_refusals(&mut operation, components);
    operation
}

fn read_models_content(components: &mut Components) -> Value {
    let schema = components.schema("ReadModelsAnswer", &schemars::schema_for!(ReadModelsAnswer), Side::Answer);
    json!({ "application/json": { "example": example::of(&schema, components), "schema": schema } })
}

fn add_refusals(operation: &mut Value, components: &mut Components) {
    if let Some(responses) = operation["responses"].as_object_mut() {
        let all = [refusals::of_every_route(), refusals::of_read_models()].concat();
        refusals::add(responses, "ReadModels", all, components);
    }
}

pub(super) fn get(
    name: &str,
    what: &str,
    content: Value,
    more: &[(&str, Value)],
    components: &mut Components,
) -> Value {
    let answer = json!({
        "description": what,
        "headers": parameters::answer_headers(&["Factum-Correlation-Id"]),
        "content": content,
    });
    let mut responses = Map::from_iter([("200".to_owned(), answer)]);
    refusals::add(&mut responses, "Any", refusals::of_every_route(), components);
    responses.extend(more.iter().map(|(status, response)| ((*status).to_owned(), response.clone())));
    json!({
        "operationId": name,
        "tags": ["operations"],
        "summary": what,
        "parameters": parameters::headers(&["Factum-Correlation-Id"]),
        "responses": responses,
    })
}
