//! What every command, query and bus message has in common.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};

/// A JSON document with a name: a command, a query, or a message that a service publishes.
///
/// `NAME` is a wire name written by hand, never a Rust type name: renaming the type changes nothing for anybody else.
/// Derived by `#[derive(Command)]`, `#[derive(Query)]` and `#[derive(Message)]`.
pub trait Message: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The name on the wire: `deposit-funds`, `account-summary`, `bank.accounts.funds-deposited.v1`.
    const NAME: &'static str;
}

/// A type of message, known by its name: what a contract lists.
#[derive(Clone, Copy, Debug)]
pub struct MessageType {
    /// [`Message::NAME`].
    pub name: &'static str,
    schema: fn() -> Schema,
}

impl MessageType {
    /// The type as a value.
    pub const fn of<M: Message>() -> Self {
        Self { name: M::NAME, schema: written::<M> }
    }

    /// The JSON Schema of its documents as they are written, draft 2020-12.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// Whether one of these types has the name.
    pub const fn lists(types: &[Self], name: &str) -> bool {
        let mut index = 0;
        while index < types.len() {
            if same(types[index].name.as_bytes(), name.as_bytes()) {
                return true;
            }
            index += 1;
        }
        false
    }
}

/// The schema of what `T` is written as, which has every field that is always there as a required one.
pub(crate) fn written<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

/// `==` for texts, where constants are computed.
const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// A field whose value is well-formed but not allowed, found by [`Command::validate`](crate::Command::validate).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidField {
    /// The field's path in the document: `amount`, `lines[2].currency`.
    pub field: String,
    /// What is wrong, in a sentence that tells the caller what would be right.
    pub reason: String,
}

impl InvalidField {
    /// Names the field and what is wrong with it.
    pub fn new(field: impl Into<String>, reason: impl ToString) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }
}
