//! Quarantine: a key whose message failed for good is parked with its successors, and the other keys flow on.
//!
//! What projections park is in the read database, in tables of the generation it belongs to (`shelf.rs`): parked in the
//! transaction that moves the watermark. What process managers and reactors park is in the event store (`event_shelf.rs`):
//! recorded before progress moves. What an operator decides (retry, discard) is recorded in the event store in either case,
//! so that a discard holds in every rebuild.

mod bulk;
mod decisions;
mod desk;
mod error;
mod event_shelf;
mod facts;
mod fold;
mod gate;
mod hub;
mod lines;
mod message;
mod parked_key;
mod parking;
mod retry;
mod shelf;
mod shown;
mod ward;

pub use bulk::{RETRY_KEYS_MAX, RetriedKey, RetriedKeys};
pub(crate) use decisions::QUARANTINE_CATEGORY;
pub use decisions::{DISCARDED, Discards, RETRIED};
pub use desk::Handled;
pub(crate) use desk::{Action, Desk, Request};
pub use error::QuarantineError;
pub(crate) use event_shelf::{EventShelf, Met, NotParked, Parks};
pub use facts::{FAILED, PARKED, RELEASED};
pub(crate) use fold::{Fold, FoldError};
pub(crate) use gate::Held;
pub use hub::{Listed, Quarantine};
pub(crate) use message::Incoming;
pub use message::ParkedMessage;
pub(crate) use parked_key::QUARANTINE_ALARM;
pub use parked_key::{PARKED_KEYS_MAX, PARKED_MESSAGES_MAX, ParkedKey};
pub(crate) use parking::{Parking, Parts};
pub(crate) use retry::{Retry, take_over};
pub use shelf::parked_keys;
pub(crate) use shelf::{Changes, Draft, Shelf};
pub use shown::Shown;
pub(crate) use ward::{Home, StoredGeneration};
