//! JSON written as YAML 1.2, block by block. Every scalar is as JSON has it, which YAML reads as the same: no text can be
//! mistaken for a number, a date or a truth value.

use std::fmt::Write as _;

use serde_json::Value;

/// A document as YAML, with the fields of every object in the order they have.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text.trim_start_matches('\n').to_owned() + "\n"
}

/// What follows a key or a dash: a scalar on the same line, or a block on the lines below.
fn block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                let _ = write!(text, "\n{:indent$}{}:", "", key(name));
                block(text, field, indent + 2);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(text, "\n{:indent$}-", "");
                block(text, item, indent + 2);
            }
        }
        scalar => {
            let _ = write!(text, " {scalar}");
        }
    }
}

/// A key that could be nothing but text is written as it is.
fn key(name: &str) -> String {
    let mut bytes = name.bytes();
    let is_plain = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_value_is_where_a_reader_expects_it() {
        let value = json!({
            "text": "a: b # c", "number": 12, "none": null, "empty": {}, "list": ["yes", { "$ref": "#/x", "two": [1] }, []],
        });
        let written = document(&value);
        let expected = [
            "text: \"a: b # c\"",
            "number: 12",
            "none: null",
            "empty: {}",
            "list:",
            "  - \"yes\"",
            "  -",
            "    \"$ref\": \"#/x\"",
            "    two:",
            "      - 1",
            "  - []",
        ];
        let mut lines: Vec<&str> = written.lines().collect();
        let mut expected = expected.to_vec();
        // Whether fields keep their order or are sorted is a feature of the JSON library that any crate may choose.
        lines.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lines, expected, "{written}");
        assert!(written.ends_with('\n') && !written.starts_with('\n'));
        assert_eq!(
            document(&json!({ "no": 1, "1": 2, "a b": 3 })).matches('"').count(),
            6,
            "keys that are no plain text"
        );
    }
}
