//! Forks that consumers with effects stand at, and what operators decide about them.
//!
//! A source was restored to before what a process manager, a receiver of commands or a reactor to topics has dealt with.
//! What that led to is recorded here or was done outside, and cannot be taken back by dropping it, as a read model can. So
//! the consumer stands still until an operator has looked at what it heard of the history that was left, and accepts that
//! it goes on with the present one from the fork on. The decision is an event of the service's own store, with who, when
//! and why; what was heard beyond the fork stays, and is listed in it.

mod accepted;
mod desk;
mod hub;
mod look;

pub use accepted::{FORK_ACCEPTED, PROCESSES_RECORDED_MAX};
pub use hub::{AcceptedFork, Forks, ForksError, LeftFork};
pub use look::{HEARD_LOOKS_MAX, HEARD_SHOWN_MAX, Heard, HeardMessage};

pub(crate) use accepted::{Accepted, FORK_CATEGORY};
pub(crate) use desk::{Desk, Standing};
