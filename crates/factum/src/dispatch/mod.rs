//! The command dispatcher: stands between callers and aggregates.
//!
//! Authorise, validate, load, handle, append, retry on conflict; [`run`](self) is that path, on one screen, for both
//! doors: typed ([`CommandDispatcher::dispatch`]) and by name ([`CommandDispatcher::dispatch_named`]).

mod builder;
mod cache;
mod canonical;
mod dispatcher;
mod error;
mod identity;
pub mod load;
mod receipt;
mod record;
mod registry;
mod run;
mod streams;
mod turns;

pub use builder::{BuildError, CommandDispatcherBuilder};
pub use dispatcher::{CommandDispatcher, CommandOptions, Dispatch};
pub use error::DispatchError;
pub use identity::{CommandKey, Surface};
pub use load::{At, LoadError, Loaded, load};
pub use receipt::CommandReceipt;
pub use registry::CommandInfo;

pub(crate) use builder::check_category;
pub(crate) use identity::fingerprint;
pub(crate) use record::new_events;
pub(crate) use registry::{AnyCommand, erase};
pub(crate) use streams::Streams;

// Fuzzed.
#[cfg(test)]
pub(crate) use canonical::canonical;
