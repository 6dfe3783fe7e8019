//! Quarantine: a key whose message failed for good is parked with its successors, and the other keys flow on.
//!
//! Parked messages are in the read database, in tables of the generation they belong to (`shelf.rs`); what an operator
//! decides about them (retry, discard) is recorded in the event store, so that a discard holds in every rebuild.

mod decisions;
mod desk;
mod fold;
mod hub;
mod message;
mod parking;
mod retry;
mod shelf;

pub(crate) use decisions::QUARANTINE_CATEGORY;
pub use decisions::{DISCARDED, Discards, RETRIED};
pub use desk::Handled;
pub(crate) use desk::{Action, Desk, Request};
pub(crate) use fold::{Fold, FoldError};
pub use hub::{Listed, Quarantine, QuarantineError, REASON_CHARS_MAX};
pub(crate) use message::Incoming;
pub use message::ParkedMessage;
pub(crate) use parking::{Parking, Parts};
pub(crate) use retry::{Retry, take_over};
pub(crate) use shelf::{Changes, Draft, QUARANTINE_ALARM, Shelf};
pub use shelf::{PARKED_KEYS_MAX, PARKED_MESSAGES_MAX, ParkedKey, parked_keys};
