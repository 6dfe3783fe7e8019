//! The bank's accounts: the write side. Takes commands over HTTP, decides, records events, and publishes what happened
//! on the bus. It knows no other service: whoever wants to know about accounts reads
//! [`messages::AccountPublication`]'s topic.
//!
//! Start reading at [`domain`]: that is where everything is decided.

pub mod domain;
pub mod messages;

