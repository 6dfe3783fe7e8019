//! The bank's statements: the read side. Folds what other services publish into read models of its own, and answers
//! queries from them. It records nothing but what operators decide about quarantined messages: its read database can be
//! deleted at any time, it is filled again from the bus.
//!
//! Start reading at [`queries`], and follow a read model back to the messages it is folded from.

pub mod day;
pub mod messages;
pub mod money;
pub mod queries;
pub mod read_models;
mod service;

pub use service::{
    Config, NAME, RestoreFailed, ServiceError, builder, open, open_when_free, restore, service, service_on,
};
