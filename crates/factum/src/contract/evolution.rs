//! What may change in a contract that others rely on.
//!
//! Topics keep what was published for ever, and services are renewed one after the other: a reader of tomorrow reads the messages
//! of yesterday, and a reader of yesterday those of tomorrow. So a schema that was released may gain fields that need not
//! be there, and its words may change. Whatever else changes is a new message, under a new name or version.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// A change that breaks whoever relies on what was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaking {
    /// The file, below the contract's folder.
    pub file: String,
    /// Where in it: a JSON pointer.
    pub at: String,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Change {
    /// A file that was released is not there: a message that was renamed or dropped.
    #[error("it was released, and is gone: go on publishing it, and publish what is new under a new name beside it")]
    Gone,
    /// A topic, message or command is not where it was.
    #[error("`{0}` was released here, and is gone: go on with it, and name what is new beside it")]
    Unlisted(String),
    /// A field is gone.
    #[error("the field `{0}` is gone: readers rely on it")]
    FieldRemoved(String),
    /// A field has another type.
    #[error("the type was {was} and is {is}: add a field instead, or a new version of the message")]
    Type {
        /// As it was released.
        was: String,
        /// As it would be.
        is: String,
    },
    /// A field has to be there that need not have been.
    #[error("the field `{0}` is required now: messages that were published before do not have it")]
    Required(String),
    /// A field that had to be there need not be any more.
    #[error("the field `{0}` is not required any more: readers rely on it")]
    NotRequired(String),
    /// A new field where readers were told that there would be none.
    #[error("the field `{0}` is new where no others were allowed")]
    FieldRefused(String),
    /// Something else differs.
    #[error("`{keyword}` was {was} and is {is}: published messages and readers have the former")]
    Keyword {
        /// Of JSON Schema, or of the index.
        keyword: String,
        /// As it was released.
        was: String,
        /// As it would be.
        is: String,
    },
}

impl std::fmt::Display for Breaking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, at, change } = self;
        let at = if at.is_empty() { String::new() } else { format!(" {at}") };
        write!(f, "{file}{at}: {change}")
    }
}

/// Every change from `released` to `current` that breaks somebody. Both are documents by their paths below the contract's folder:
/// `index.json` and `schemas/…`; others are passed over.
pub fn breaking_changes(released: &BTreeMap<String, Value>, current: &BTreeMap<String, Value>) -> Vec<Breaking> {
    let mut found = Vec::new();
    for (file, was) in released {
        let Some(is) = current.get(file) else {
            found.push(Breaking { file: file.clone(), at: String::new(), change: Change::Gone });
            continue;
        };
        if file == INDEX {
            index(was, is, &mut found);
        } else {
            let mut schemas = Schemas { file, was, is, entered: BTreeSet::new(), found: &mut found };
            schemas.compare(was, is, "");
        }
    }
    found
}

/// The index of a contract.
pub(super) const INDEX: &str = "index.json";

/// Lists in the index, and what they have by which things are known, and what stays the same of each thing.
const LISTS: [(&str, &[&str], &str); 2] =
    [("topics", &["key", "partitions"], "messages"), ("commands", &["sender", "key"], "commands")];

fn index(was: &Value, is: &Value, found: &mut Vec<Breaking>) {
    let mut say = |at: String, change| found.push(Breaking { file: INDEX.to_owned(), at, change });
    for keyword in ["system", "service"] {
        say_if_changed(was, is, keyword, |change| say(format!("/{keyword}"), change));
    }
    for (list, fixed, names) in LISTS {
        for thing in items(&was[list]) {
            let name = text(&thing["name"]);
            let Some(place) = items(&is[list]).iter().position(|one| one["name"] == thing["name"]) else {
                say(format!("/{list}"), Change::Unlisted(name));
                continue;
            };
            let (now, at) = (&is[list][place], format!("/{list}/{place}"));
            for keyword in fixed {
                say_if_changed(thing, now, keyword, |change| say(format!("{at}/{keyword}"), change));
            }
            let gone = items(&thing[names]).iter().filter(|one| !items(&now[names]).contains(one));
            gone.for_each(|one| say(format!("{at}/{names}"), Change::Unlisted(text(one))));
        }
    }
    let everywhere = "on_every_topic";
    let gone = items(&was[everywhere]).iter().filter(|one| !items(&is[everywhere]).contains(one));
    gone.for_each(|one| say(format!("/{everywhere}"), Change::Unlisted(text(one))));
}

fn say_if_changed(was: &Value, is: &Value, keyword: &str, say: impl FnOnce(Change)) {
    if was[keyword] != is[keyword] {
        say(changed(keyword, &was[keyword], &is[keyword]));
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn changed(keyword: &str, was: &Value, is: &Value) -> Change {
    let shown = |value: &Value| if value.is_null() { "not there".to_owned() } else { value.to_string() };
    Change::Keyword { keyword: keyword.to_owned(), was: shown(was), is: shown(is) }
}

/// Words for people, and definitions, which are looked at where they are referred to.
const SAYS_NOTHING: [&str; 11] = [
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
];

/// Two versions of a schema.
struct Schemas<'a> {
    file: &'a str,
    was: &'a Value,
    is: &'a Value,
    /// References entered on both sides: types may contain themselves.
    entered: BTreeSet<(String, String)>,
    found: &'a mut Vec<Breaking>,
}

impl Schemas<'_> {
    fn say(&mut self, at: &str, change: Change) {
        self.found.push(Breaking { file: self.file.to_owned(), at: at.to_owned(), change });
    }

    fn compare(&mut self, was: &Value, is: &Value, at: &str) {
        let references = (text(&was["$ref"]), text(&is["$ref"]));
        if was["$ref"].is_string() && is["$ref"].is_string() && !self.entered.insert(references.clone()) {
            return;
        }
        match (resolved(was, self.was), resolved(is, self.is)) {
            (Some(was), Some(is)) => {
                let keywords: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
                for keyword in keywords.into_iter().filter(|keyword| !SAYS_NOTHING.contains(&keyword.as_str())) {
                    self.keyword(keyword, &was, &is, at);
                }
            }
            // `true` and `false` are schemas, too.
            _ if was != is => self.say(at, changed("schema", was, is)),
            _ => {}
        }
        self.entered.remove(&references);
    }

    fn keyword(&mut self, keyword: &str, was_schema: &Map<String, Value>, is_schema: &Map<String, Value>, at: &str) {
        let of = |schema: &Map<String, Value>| schema.get(keyword).cloned().unwrap_or_default();
        let (was, is, at) = (of(was_schema), of(is_schema), format!("{at}/{keyword}"));
        // Of these the order says nothing.
        let differs = if ["type", "enum"].contains(&keyword) { set(&was) != set(&is) } else { was != is };
        match keyword {
            "properties" => self.properties(was_schema, &was, &is, &at),
            "required" => {
                let gone = items(&was).iter().filter(|field| !items(&is).contains(field));
                gone.for_each(|field| self.say(&at, Change::NotRequired(text(field))));
                let new = items(&is).iter().filter(|field| !items(&was).contains(field));
                new.for_each(|field| self.say(&at, Change::Required(text(field))));
            }
            "type" if differs => self.say(&at, Change::Type { was: was.to_string(), is: is.to_string() }),
            "items" | "additionalProperties" | "contains" | "propertyNames" | "not" | "if" | "then" | "else"
                if !was.is_null() && !is.is_null() =>
            {
                self.compare(&was, &is, &at);
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" if items(&was).len() == items(&is).len() => {
                for (place, (was, is)) in items(&was).iter().zip(items(&is)).enumerate() {
                    self.compare(was, is, &format!("{at}/{place}"));
                }
            }
            _ if differs => self.say(&at, changed(keyword, &was, &is)),
            _ => {}
        }
    }

    fn properties(&mut self, schema: &Map<String, Value>, was: &Value, is: &Value, at: &str) {
        let empty = Map::new();
        let (was, is) = (was.as_object().unwrap_or(&empty), is.as_object().unwrap_or(&empty));
        for (name, field) in was {
            match is.get(name) {
                Some(now) => self.compare(field, now, &format!("{at}/{}", escaped(name))),
                None => self.say(at, Change::FieldRemoved(name.clone())),
            }
        }
        if schema.get("additionalProperties").is_some_and(|others| *others == Value::Bool(false)) {
            let new = is.keys().filter(|name| !was.contains_key(*name));
            new.for_each(|name| self.say(at, Change::FieldRefused(name.clone())));
        }
    }
}

/// The values of an array, or the one value, in any order.
fn set(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(values) => values.iter().map(Value::to_string).collect(),
        one => BTreeSet::from([one.to_string()]),
    }
}

/// A schema with what it refers to in its place; `None`: it is no object.
fn resolved(schema: &Value, root: &Value) -> Option<Map<String, Value>> {
    let mut own = schema.as_object()?.clone();
    // A reference to a reference is followed as long as there are definitions.
    let mut left = root["$defs"].as_object().map_or(0, Map::len);
    while let Some(Value::String(reference)) = own.get("$ref") {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).and_then(Value::as_object);
        // One to elsewhere is compared as it is written.
        let Some(target) = target.filter(|_| left > 0) else { break };
        left -= 1;
        own.remove("$ref");
        let mut merged = target.clone();
        merged.extend(own);
        own = merged;
    }
    Some(own)
}

/// A field's name in a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
