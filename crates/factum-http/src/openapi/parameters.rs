//! Headers, and the parts of a URL after `?`.

use factum::query::QueryInfo;
use serde_json::{Map, Value, json};

use super::{
    components::{Components, Side},
    example,
};
use crate::headers::IDEMPOTENCY_KEY_BYTES_MAX;

/// What a receipt's token looks like; its text is opaque.
const TOKEN_PATTERN: &str = "^[A-Za-z0-9_-]{1,4096}$";
/// What the `id` of a live query's events looks like; its text is opaque.
const MOMENT_PATTERN: &str = "^[A-Za-z0-9_-]{0,8192}$";
/// An `ETag` as a command was answered with.
const VERSION_PATTERN: &str = "^\"(0|[1-9][0-9]{0,18})\"$";

/// Headers of requests, by the names that operations refer to.
pub(super) fn shared() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema });
    json!({
        "Idempotency-Key": header(
            "Idempotency-Key",
            "The caller's own key for the command. Once the command has changed something, a repeat under the same key \
             is answered as the first was, and changes nothing; before that, it is decided anew.",
            json!({ "type": "string", "pattern": format!("^[!-~]{{1,{IDEMPOTENCY_KEY_BYTES_MAX}}}$") }),
        ),
        "If-Match": header(
            "If-Match",
            "The version that the aggregate must be at, as an ETag said it; `*` for any but none.",
            json!({ "type": "string", "anyOf": [{ "const": "*" }, { "pattern": VERSION_PATTERN }] }),
        ),
        "Factum-Correlation-Id": header(
            "Factum-Correlation-Id",
            "Ties together everything that one request from outside leads to; it comes back with the answer.",
            json!({ "type": "string", "format": "uuid" }),
        ),
        "Last-Event-ID": header(
            "Last-Event-ID",
            "The `id` of the last event that was seen: nothing older is answered, on any instance; it is waited for, \
             bounded.",
            json!({ "type": "string", "pattern": MOMENT_PATTERN }),
        ),
        "Factum-At-Least": header(
            "Factum-At-Least",
            "The token of what must be visible in the answer: the query waits for it, bounded.",
            json!({ "type": "string", "pattern": TOKEN_PATTERN }),
        ),
    })
}

/// Headers of answers, by the names that operations refer to.
pub(super) fn answered() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    json!({
        "ETag": header(
            "The aggregate's version after the command, for `If-Match`.",
            json!({ "type": "string", "pattern": "^\"[0-9]+\"$" }),
        ),
        "Factum-Token": header(
            "What a query can wait for, by `Factum-At-Least`.",
            json!({ "type": "string", "pattern": TOKEN_PATTERN }),
        ),
        "Factum-Correlation-Id": header(
            "The caller's, or the one chosen for a command.",
            json!({ "type": "string", "format": "uuid" }),
        ),
        "Retry-After": header(
            "In how many seconds to ask again; absent where only an operator can help.",
            json!({ "type": "integer", "minimum": 0 }),
        ),
    })
}

/// References to headers of requests.
pub(super) fn headers(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })).collect()
}

/// References to headers of answers.
pub(super) fn answer_headers(names: &[&str]) -> Value {
    let named = names.iter().map(|name| {
        let reference = json!({ "$ref": format!("#/components/headers/{name}") });
        ((*name).to_owned(), reference)
    });
    named.collect::<Map<_, _>>().into()
}

/// A query's parameters, from the fields of its schema.
pub(super) fn of_query(query: &QueryInfo, components: &mut Components) -> Vec<Value> {
    let required = query.schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let fields = components.fields(&query.schema, Side::Request);
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|fields| fields.remove("description"));
        let schema = never_null(schema);
        let is_required = required.iter().any(|required| *required == name);
        let mut parameter = json!({ "name": name, "in": "query", "required": is_required, "schema": schema });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        if is_required {
            parameter["example"] = example::of(&schema, components);
        }
        parameter
    };
    fields.into_iter().map(parameter).collect()
}

/// A parameter that may be left out is left out; there is no way to write `null` in a URL.
fn never_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema["type"].as_array() {
        let kinds: Vec<Value> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
        schema["type"] = if let [kind] = kinds.as_slice() { kind.clone() } else { kinds.into() };
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let choices: Vec<Value> = choices.iter().filter(|choice| choice["type"] != "null").cloned().collect();
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            if let Value::Object(fields) = &mut schema {
                fields.remove("anyOf");
                fields.extend(only);
            }
        } else {
            schema["anyOf"] = choices.into();
        }
    }
    schema
}
