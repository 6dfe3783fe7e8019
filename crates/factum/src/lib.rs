//! Factum: CQRS and event sourcing for microservices.
#![forbid(unsafe_code)]
extern crate self as factum;

pub mod bus;
pub mod model;
pub mod projections;
pub mod read;
pub mod relay;
pub mod runtime;
pub mod store;

pub use model::*;
