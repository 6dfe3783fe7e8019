//! What operations share: each schema, header and answer once, by name.

use std::collections::BTreeMap;

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::parameters;

/// Where schemas refer to each other within one schema.
const LOCAL: &str = "#/$defs/";
/// Where they are in the document.
const SHARED: &str = "#/components/schemas/";

/// Whether a schema is of what comes in or of what goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Fields without a name in the schema are refused.
    Request,
    /// Fields may be added.
    Answer,
}

/// The `components` of a document.
pub(super) struct Components {
    schemas: Map<String, Value>,
    responses: Map<String, Value>,
    /// What each schema was, with all it refers to, before its references were rewritten.
    origins: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Components {
    pub(super) fn new() -> Self {
        Self { schemas: Map::new(), responses: Map::new(), origins: BTreeMap::new() }
    }

    /// Adds a schema with everything it refers to; the reference to it.
    pub(super) fn schema(&mut self, name: &str, schema: &Schema, side: Side) -> Value {
        let mut definitions = definitions(schema, side);
        let mut root = schema.clone().to_value();
        if let Value::Object(fields) = &mut root {
            fields.remove("$defs");
            fields.remove("$schema");
            fields.remove("title");
        }
        strict(&mut root, side);
        definitions.insert(name.to_owned(), root);
        self.add(name, &definitions)
    }

    /// Adds what a schema refers to; the fields of the schema itself, ready to be put elsewhere in the document.
    pub(super) fn fields(&mut self, schema: &Schema, side: Side) -> Map<String, Value> {
        let definitions = definitions(schema, side);
        let names: BTreeMap<String, String> =
            definitions.keys().map(|name| (name.clone(), self.take(name, &definitions))).collect();
        let mut root = schema.clone().to_value();
        rename(&mut root, &names);
        root["properties"].as_object().cloned().unwrap_or_default()
    }

    /// Adds an answer under a name, unless the same is there under another; the reference to it.
    pub(super) fn response(&mut self, name: &str, response: Value) -> Value {
        let same = self.responses.iter().find(|(_, other)| **other == response).map(|(name, _)| name.clone());
        let shared = same.unwrap_or_else(|| {
            self.responses.insert(name.to_owned(), response);
            name.to_owned()
        });
        json!({ "$ref": format!("#/components/responses/{shared}") })
    }

    /// What a reference of this document, or a chain of them, leads to.
    pub(super) fn resolve<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        while let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(SHARED)) {
            match self.schemas.get(name) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    pub(super) fn into_value(self) -> Value {
        json!({
            "schemas": self.schemas,
            "responses": self.responses,
            "parameters": parameters::shared(),
            "headers": parameters::answered(),
        })
    }

    fn add(&mut self, name: &str, definitions: &BTreeMap<String, Value>) -> Value {
        let shared = self.take(name, definitions);
        json!({ "$ref": format!("{SHARED}{shared}") })
    }

    /// The name in the document of one of `definitions`, which is added with all it refers to unless it is there.
    fn take(&mut self, name: &str, definitions: &BTreeMap<String, Value>) -> String {
        let mut origin = BTreeMap::new();
        reach(name, definitions, &mut origin);
        let names = (1..).map(|number| if number == 1 { name.to_owned() } else { format!("{name}{number}") });
        let free = |shared: &String| self.origins.get(shared).is_none_or(|other| *other == origin);
        let shared = names.into_iter().find(free).unwrap_or_else(|| name.to_owned());
        if self.origins.insert(shared.clone(), origin.clone()).is_some() {
            return shared;
        }
        let mut renamed = BTreeMap::from([(name.to_owned(), shared.clone())]);
        for other in origin.keys().filter(|other| *other != name) {
            renamed.insert(other.clone(), self.take(other, definitions));
        }
        let mut schema = definitions[name].clone();
        rename(&mut schema, &renamed);
        self.schemas.insert(shared.clone(), schema);
        shared
    }
}

/// The named parts of a schema.
fn definitions(schema: &Schema, side: Side) -> BTreeMap<String, Value> {
    let parts = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    let strictly = parts.into_iter().map(|(name, mut part)| {
        strict(&mut part, side);
        (name, part)
    });
    strictly.collect()
}

/// A definition and all it refers to.
fn reach(name: &str, definitions: &BTreeMap<String, Value>, reached: &mut BTreeMap<String, Value>) {
    let Some(schema) = definitions.get(name) else { return };
    if reached.insert(name.to_owned(), schema.clone()).is_none() {
        each_reference(schema, &mut |name| reach(name, definitions, reached));
    }
}

fn each_reference(schema: &Value, found: &mut dyn FnMut(&str)) {
    match schema {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(LOCAL)) {
                found(name);
            }
            fields.values().for_each(|part| each_reference(part, found));
        }
        Value::Array(items) => items.iter().for_each(|part| each_reference(part, found)),
        _ => {}
    }
}

fn rename(schema: &mut Value, names: &BTreeMap<String, String>) {
    match schema {
        Value::Object(fields) => {
            for (field, part) in fields {
                let target = part.as_str().and_then(|to| to.strip_prefix(LOCAL)).and_then(|name| names.get(name));
                match target {
                    Some(target) if field == "$ref" => *part = format!("{SHARED}{target}").into(),
                    _ => rename(part, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|part| rename(part, names)),
        _ => {}
    }
}

/// Makes every object of a request refuse fields it does not name, unless it says itself which it takes.
fn strict(schema: &mut Value, side: Side) {
    if side == Side::Answer {
        return;
    }
    match schema {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|kind| *kind == "object") && fields.contains_key("properties") {
                fields.entry("additionalProperties").or_insert(false.into());
            }
            fields.values_mut().for_each(|part| strict(part, side));
        }
        Value::Array(items) => items.iter_mut().for_each(|part| strict(part, side)),
        _ => {}
    }
}
