//! Who decides in the tests about what needs an operator, and why.

use factum::{ActorId, Reason};

/// An operator.
pub fn operator() -> ActorId {
    ActorId::new("ada").unwrap()
}

/// What an operator says for the record.
pub fn because(text: &str) -> Reason {
    Reason::new(text).unwrap()
}
