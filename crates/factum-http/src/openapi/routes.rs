//! The routes that are there whatever a service does.

use serde_json::{Map, Value, json};

use super::{
    components::{Components, Side},
    example, parameters, refusals,
};
use crate::surface::{EVENTS_DEFAULT, EVENTS_MAX, ReadyAnswer};

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

fn get(name: &str, what: &str, content: Value, more: &[(&str, Value)], components: &mut Components) -> Value {
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
