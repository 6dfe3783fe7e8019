//! A document that fits a schema, to show and to try.

use serde_json::{Map, Value};

use super::components::Components;

/// How deep an example goes at most: types may hold themselves.
const DEPTH_MAX: usize = 16;

/// An example for a schema: what its type names as one, or one made of its parts. Parts that may be left out are, unless
/// something is known about them.
pub(super) fn of(schema: &Value, components: &Components) -> Value {
    made(schema, components, 0)
}

/// The example or default that a schema names itself.
pub(super) fn named(schema: &Value) -> Option<Value> {
    let first = |field: &str| schema[field].as_array().and_then(|list| list.first()).cloned();
    let one = |field: &str| schema.get(field).cloned();
    first("examples")
        .or_else(|| one("example"))
        .or_else(|| one("const"))
        .or_else(|| one("default"))
        .or_else(|| first("enum"))
}

fn made(schema: &Value, components: &Components, depth: usize) -> Value {
    if let Some(example) = named(schema) {
        return example;
    }
    if schema.get("$ref").is_some() {
        return made(components.resolve(schema), components, depth);
    }
    let one_of = ["anyOf", "oneOf", "allOf"].iter().find_map(|choice| schema[choice].as_array());
    match kind(schema) {
        _ if depth > DEPTH_MAX => Value::Null,
        Some("object") => object(schema, components, depth),
        Some("array") => {
            let item = made(&schema["items"], components, depth + 1);
            if item.is_null() { Value::Array(Vec::new()) } else { Value::Array(vec![item]) }
        }
        Some("string") => text(schema).into(),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
        Some("boolean") => true.into(),
        _ => one_of
            .and_then(|choices| choices.iter().find(|choice| kind(choice) != Some("null")))
            .map_or(Value::Null, |choice| made(choice, components, depth + 1)),
    }
}

fn object(schema: &Value, components: &Components, depth: usize) -> Value {
    let mut example = Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name));
        if required || is_known(field, components) {
            example.insert(name.clone(), made(field, components, depth + 1));
        }
    }
    Value::Object(example)
}

/// Whether something is known of a field that may be left out, or of what it is when it is not null.
fn is_known(field: &Value, components: &Components) -> bool {
    let field = components.resolve(field);
    let choices = field["anyOf"].as_array().into_iter().flatten();
    named(field).is_some()
        || known_format(field).is_some()
        || choices.into_iter().any(|choice| is_known(choice, components))
}

/// The type of a value, `null` aside.
fn kind(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ => None,
    }
}

fn text(schema: &Value) -> String {
    known_format(schema).unwrap_or("text").to_owned()
}

fn known_format(schema: &Value) -> Option<&'static str> {
    match schema["format"].as_str()? {
        "uuid" => Some("6f1a7c1e-0000-4000-8000-000000000001"),
        "date" => Some("2026-11-23"),
        "date-time" => Some("2026-11-23T09:30:00.000001Z"),
        _ => None,
    }
}
