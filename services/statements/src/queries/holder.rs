//! A holder's name, as somebody asks for it.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The longest name, in characters.
const CHARS_MAX: usize = 200;

/// A name to look for: 1 to 200 characters without control characters. Personal data: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Holder(String);

impl Holder {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Holder")
    }
}

impl Serialize for Holder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Holder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name.is_empty() || name.chars().count() > CHARS_MAX {
            return Err(D::Error::custom(format_args!("must have 1 to {CHARS_MAX} characters")));
        }
        if name.chars().any(char::is_control) {
            return Err(D::Error::custom("must not contain control characters"));
        }
        Ok(Self(name))
    }
}

impl JsonSchema for Holder {
    fn schema_name() -> Cow<'static, str> {
        "Holder".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 1, "examples": ["Ada Lovelace"], "maxLength": CHARS_MAX,
            "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
        })
    }
}
