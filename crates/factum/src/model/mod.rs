//! What a service's domain is written in: sync, pure, no I/O.
//!
//! A [`Command`] names the [`Aggregate`] that decides about it; the aggregate's [`Handle`] turns state and command
//! into [`Events`] or a [`Rejection`]; [`Aggregate::apply`] folds events into state. [`Projection`]s fold events into
//! read models, which a [`Query`] answers from. Every message on the bus and every command and query is a
//! [`Message`]: a JSON document with a name written by hand.

mod aggregate;
mod context;
mod delivery;
pub(crate) mod document;
mod event;
mod ids;
mod message;
mod personal;
mod process;
mod projection;
mod reason;
mod rejection;
mod timestamp;

pub use aggregate::{Aggregate, AggregateId, Command, Events, Handle, stream_of};
pub use context::{Context, ContextParts};
pub use delivery::{Delivery, Source};
pub use document::Unreadable;
pub use event::{DecodeError, Decoded, Event, RawEvent};
pub use ids::{ActorId, CommandId, CorrelationId, EffectId, EventId, Incarnation, StoreId};
pub(crate) use message::written;
pub use message::{InvalidField, Message, MessageType};
pub use personal::Personal;
pub use process::{ChannelSpec, CommandChannel, Effects, Input, ProcessManager, Refusal, Sent, TimerChange, What};
pub use projection::{Answers, Projection, ProjectionKey, Query, QueryError};
pub use reason::Reason;
pub use rejection::{AnyRejection, Rejection, RejectionCode, RejectionKind};
pub use timestamp::{InvalidTimestamp, Timestamp};
