//! Process managers at work: they hear messages, keep timers, and send commands.
//!
//! What a [`ProcessManager`](crate::ProcessManager) is, the model says. Here is what carries it: a message is routed to
//! a process, decided on, and what was decided is appended under an id derived from the message, so that hearing it
//! again changes nothing ([`Hearer`]). What it sends is published by relays, as translations of its events. When a
//! timer is due, that is decided on and appended the same way.

mod error;
mod hearer;
mod record;
mod route;

pub use error::HearError;
pub use hearer::{Heard, Hearer};
