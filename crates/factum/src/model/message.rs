//! What every command, query and bus message has in common.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

/// A JSON document with a name: a command, a query, or a message that a service publishes.
///
/// `NAME` is a wire name written by hand, never a Rust type name: renaming the type changes nothing for anybody else.
/// Derived by `#[derive(Command)]`, `#[derive(Query)]` and `#[derive(Message)]`.
pub trait Message: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The name on the wire: `deposit-funds`, `account-summary`, `bank.accounts.funds-deposited.v1`.
    const NAME: &'static str;
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
