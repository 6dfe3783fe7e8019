//! The bank's transfers: each is a process that asks for one thing after another of the accounts at both ends, until
//! the money is there, or is back. It knows accounts by their messages alone: what it asks for goes out on
//! [`messages::AccountCommands`]' topic, what became of it comes back on the topics of [`messages::ACCOUNT_TOPIC`] and
//! [`messages::OUTCOME_TOPIC`].
//!
//! ```text
//! RequestTransfer ─► Holding ──held──► Crediting ──credited──► Capturing ──captured──► Completed
//!                       │ refused,         │ refused,
//!                       │ cancelled        │ cancelled
//!                       ▼                  ▼
//!                   Rejected ◄─released─ Releasing
//! ```
//!
//! A deadline never decides: past it, hold and credit are *cancelled*, and which of the two came first is what the
//! accounts recorded. Capture and release are never cancelled; past their deadline an alarm is raised.
//!
//! Start reading at [`domain`], then [`process_managers`]. [`service()`] puts it on a store, a bus and a port.

pub mod domain;
pub mod messages;
pub mod process_managers;
mod service;
mod stalled;

pub use service::{
    Config, NAME, RestoreFailed, ServiceError, builder, open, open_when_free, restore, service, service_on,
};
