//! From the event store to the bus: the store is the outbox.

mod publication;

pub(crate) use publication::erase;
pub use publication::{AnyPublication, DynPublication, OutgoingMessage, PARTITIONS_DEFAULT, Publication};
