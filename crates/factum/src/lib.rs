//! Factum: CQRS and event sourcing for microservices.
//!
//! *Commands* change an aggregate, *events* are the immutable record of what happened, *queries* answer from read
//! models that can be thrown away and restored from the event store. This crate is the model a domain is written in
//! ([`model`]), and the runtime that carries it: the [command dispatcher](dispatch), [projections], the
//! [relay] to the bus, [consumers](consumer), the [query dispatcher](query), and the [service] that owns them all. The
//! same domain code runs on everything behind [`EventStore`], [`ReadStore`](read::ReadStore) and
//! [`Bus`](bus::Bus).
//!
//! It is not a database, not a broker and not a web framework: those live behind the traits and in crates of their
//! own. It has no way to change or delete an event.
//!
//! # Example
//! One aggregate, one projection, one query, in memory; it is `examples/counter.rs`.
//! ```
#![doc = include_str!("../examples/counter.rs")]
//! ```
#![forbid(unsafe_code)]

// The derives write `::factum::…`, also for types of this crate.
#[allow(unused_extern_crates)]
extern crate self as factum;

pub mod bus;
pub mod consumer;
pub mod contract;
mod derives;
pub mod dispatch;
pub mod forks;
#[cfg(test)]
mod fuzzing;
pub mod input;
pub mod model;
pub mod principal;
pub mod process;
pub mod projections;
pub mod quarantine;
pub mod query;
pub mod reactor;
pub mod read;
pub mod rebuild;
pub mod receiver;
pub mod relay;
pub mod runtime;
pub mod service;
pub mod store;
pub mod testing;
pub mod token;

pub use derives::{Command, Event, Message, Query};
pub use dispatch::{CommandDispatcher, CommandReceipt, DispatchError};
pub use model::{
    ActorId, Aggregate, AggregateId, Answers, AnyRejection, ChannelSpec, Command, CommandChannel, CommandId, Context,
    CorrelationId, DecodeError, Decoded, Delivery, EffectId, Effects, Event, EventId, Events, Handle, Input,
    InvalidField, Message, MessageType, Personal, ProcessManager, Projection, ProjectionKey, Query, QueryError,
    RawEvent, Reason, Rejection, RejectionCode, RejectionKind, Source, StoreId, Timestamp,
};
pub use query::{AskError, QueryDispatcher};
pub use reactor::{Outside, Reactions, Reactor};
pub use relay::{OutgoingMessage, Publication};
pub use runtime::Runtime;
pub use service::Service;
pub use store::{Boundary, Clause, EventStore, ExpectedVersion, Position, Selection, StreamName, Tag, Version};
pub use token::Token;

/// What a domain is written with: `use factum::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Aggregate, Answers, ChannelSpec, Command, CommandChannel, Context, Delivery, Effects, Event, Events, Handle,
        Input, InvalidField, Message, MessageType, OutgoingMessage, ProcessManager, Projection, Publication, Query,
        QueryError, Rejection, RejectionCode, RejectionKind, Service,
        read::{Cursor, Key, KeyRange, Page, ReadError, ReadSnapshot, ReadTransaction, Table},
    };
}

/// What derived code reaches through this crate, so that users of the derives need no dependency of their own for it.
#[doc(hidden)]
pub mod __private {
    pub use serde_json;
}
