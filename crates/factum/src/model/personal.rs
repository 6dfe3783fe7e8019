//! Personal data that can be forgotten.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value about a person: known, or forgotten. In JSON the value itself, or `null` once it is forgotten.
///
/// It is part of events *and* of published schemas from the first contract, so that forgetting never breaks a
/// consumer. Personal data has no place in stream names, tags, index keys, fingerprints or logs: `Debug` shows that
/// there is a value, never which.
///
/// ```
/// use factum::Personal;
/// let holder = Personal::known("Ada Lovelace".to_owned());
/// assert_eq!(serde_json::to_string(&holder).unwrap(), r#""Ada Lovelace""#);
/// assert_eq!(serde_json::from_str::<Personal<String>>("null").unwrap(), Personal::Forgotten);
/// assert_eq!(format!("{holder:?}"), "Personal(known)");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Personal<T> {
    /// The value can be read.
    Known(T),
    /// The value is gone for good.
    Forgotten,
}

impl<T> Personal<T> {
    /// A value that is known.
    pub const fn known(value: T) -> Self {
        Self::Known(value)
    }

    /// The value, unless it was forgotten.
    pub const fn get(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Forgotten => None,
        }
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.get().is_some() { "Personal(known)" } else { "Personal(forgotten)" })
    }
}

impl<T: Serialize> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::<T>::deserialize(deserializer)?;
        Ok(value.map_or(Self::Forgotten, Self::Known))
    }
}

impl<T: JsonSchema> JsonSchema for Personal<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Personal_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [value, { "type": "null" }], "description": "personal data; null once forgotten" })
    }
}
