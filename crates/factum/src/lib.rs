//! Factum: CQRS and event sourcing for microservices.
#![forbid(unsafe_code)]
extern crate self as factum;

pub mod bus;
mod derives;
pub mod dispatch;
pub mod input;
pub mod model;
pub mod principal;
pub mod projections;
pub mod query;
pub mod read;
pub mod relay;
pub mod runtime;
pub mod service;
pub mod store;
pub mod testing;
pub mod token;

pub use derives::{Command, Event, Message, Query};
pub use model::*;

/// What derived code reaches through this crate, so that users of the derives need no dependency of their own for it.
#[doc(hidden)]
pub mod __private {
    pub use serde_json;
}
