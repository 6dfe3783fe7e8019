//! From the event store to the bus: the store is the outbox.

mod channel;
mod checkpoint;
mod end;
mod lanes;
mod left;
mod publication;
mod relays;
mod rewind;
mod run;
mod survey;

pub use channel::channel;
pub use end::{RelayEnd, RelayHalt};
pub use left::HistoryLeft;
pub use publication::{AnyPublication, DynPublication, OutgoingMessage, PARTITIONS_DEFAULT, Publication, erase};
pub use relays::{LaneState, RelayState, Relays};
pub use rewind::{REWIND_WAIT_MAX, REWINDS_WAITING_MAX, RewindError, Rewound};
pub use run::{LOOK_EVERY, Relay};

pub(crate) use left::EVERYWHERE_MESSAGES;
