//! The bank's accounts: the write side. Takes commands over HTTP, and from `transfers` over the bus; decides, records
//! events, and publishes what happened on the bus. Whoever wants to know about accounts reads
//! [`messages::AccountPublication`]'s topic.
//!
//! Start reading at [`domain`]: that is where everything is decided. [`service()`] puts it on a store, a bus and a port.

pub mod domain;
pub mod messages;
pub mod reactors;
mod service;

pub use reactors::Webhook;
pub use service::{
    Config, NAME, RestoreFailed, ServiceError, builder, open, open_when_free, restore, service, service_on,
};
