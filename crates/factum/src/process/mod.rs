//! Process managers at work: they hear messages, keep timers, and send commands.
//!
//! What a [`ProcessManager`](crate::ProcessManager) is, the model says. Here is what carries it: a message is routed to
//! a process, decided on, and what was decided is appended under an id derived from the message, so that hearing it
//! again changes nothing ([`Hearer`]). What it sends is published by relays, as translations of its events. When a
//! timer is due, that is decided on and appended the same way.

mod again;
mod erased;
mod error;
mod firing;
mod hearer;
mod keeper;
mod managed;
mod parked;
mod pending;
mod record;
mod route;
mod saved;
mod turn;

pub use error::HearError;
pub use hearer::{Heard, Hearer};
pub use keeper::KeeperEnd;

pub(crate) use again::{About, decide_again};
pub(crate) use erased::{AnyProcess, Hears};
pub(crate) use firing::TIMER_CATEGORY;
pub(crate) use keeper::{Deadlines, TimerKeeper};
pub(crate) use managed::Managed;
