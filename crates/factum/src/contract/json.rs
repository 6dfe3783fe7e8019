//! JSON written the same way everywhere.

use serde_json::{Map, Value};

/// A document as text: indented, ending in a line break, the fields of every object in alphabetical order, so that two
/// builds of a program write the same bytes.
pub fn pretty(document: &Value) -> String {
    let mut text = format!("{:#}", sorted(document));
    text.push('\n');
    text
}

/// A document with the fields of every object in alphabetical order.
pub(super) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            Value::Object(names.into_iter().map(|name| (name.clone(), sorted(&fields[name]))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        simple => simple.clone(),
    }
}
