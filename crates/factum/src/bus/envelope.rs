//! What a record on the bus says about itself: CloudEvents 1.0, Kafka protocol binding 1.0.2. Binary mode is written,
//! binary and structured mode are read. Attributes and headers it does not know are passed over.

mod attributes;
mod decode;

pub(crate) use attributes::schema_id;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use super::{Headers, NewRecord};
use crate::{
    model::{ActorId, CorrelationId, Delivery, EventId, RawEvent, Source, Timestamp},
    store::{Fork, History, Position, StreamName, Version},
};

/// The most ancestors of a store that a message names: the newest ones.
pub const LINEAGE_MAX: usize = 16;

/// The name of the message that a relay puts on each partition on which its store's history was left: what stands there
/// of an ancestor beyond the fork was lost in a restore. Its position is that of the newest fork, and its attributes name
/// the new history; no event stands behind it, so that nobody but the rules of watermarks looks at it.
pub const HISTORY_LEFT_NAME: &str = "factum.history-left.v1";

/// Who publishes: system, service, store and its incarnation. On the wire `/<system>/<service>/<store>/<incarnation>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The system.
    pub system: String,
    /// The service.
    pub service: String,
    /// Its store.
    pub source: Source,
}

/// A message with everything that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The id of the event it was translated from (`ce_id`); of [`HISTORY_LEFT_NAME`], derived from history and place.
    pub id: EventId,
    /// Who published it (`ce_source`).
    pub origin: Origin,
    /// The message's name with its version: `bank.accounts.funds-deposited.v1` (`ce_type`).
    pub name: String,
    /// The stream of the event (`ce_subject`).
    pub stream: StreamName,
    /// What the message is kept in order with (`ce_partitionkey` and the record's key): the event's stream; of a command,
    /// the stream it is for.
    pub key: StreamName,
    /// The version of the stream (`ce_streamversion`).
    pub version: Version,
    /// When the event was recorded (`ce_time`).
    pub recorded_at: Timestamp,
    /// The event's position in its store (`ce_sequence`, 20 digits); of [`HISTORY_LEFT_NAME`], the fork's, which may be 0.
    pub position: Position,
    /// The position of the message before it on its lane; [`Position::ZERO`] for the first (`ce_previous`).
    pub previous: Position,
    /// The ancestors of the incarnation, oldest first, at most [`LINEAGE_MAX`] (`ce_lineage`).
    pub lineage: Vec<Fork>,
    /// The id of the bus command that caused it, as its sender sent it; of a command, its own (`ce_commandid`).
    pub command_id: Option<Arc<str>>,
    /// What it belongs to across services (`ce_correlationid`).
    pub correlation_id: CorrelationId,
    /// What caused the event, where known by id (`ce_causationid`).
    pub causation_id: Option<Uuid>,
    /// Who asked for it (`ce_actor`).
    pub actor: ActorId,
    /// The JSON document.
    pub data: Bytes,
}

/// Where a message stands on its lane: all that the watermark's rules look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark<'a> {
    /// The event it was translated from; `None`: no event.
    pub(crate) id: Option<EventId>,
    pub(crate) source: Source,
    pub(crate) position: Position,
    pub(crate) previous: Position,
    pub(crate) lineage: &'a [Fork],
}

/// What can be read of a record that is no message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Where it stands: event id, source, position, previous, lineage; with all of them it leaves no hole.
    pub(crate) place: Option<(EventId, Source, Position, Position, Vec<Fork>)>,
    /// `ce_id`.
    pub id: Option<EventId>,
    /// `ce_commandid`.
    pub command_id: Option<Arc<str>>,
    /// `ce_correlationid`.
    pub correlation_id: Option<CorrelationId>,
    /// `ce_actor`.
    pub actor: Option<ActorId>,
}

impl Remains {
    /// What is left of a record.
    pub fn of(headers: &Headers, value: &Bytes) -> Self {
        decode::remains(headers, value)
    }

    pub(crate) fn mark(&self) -> Option<Mark<'_>> {
        let (id, source, position, previous, lineage) = self.place.as_ref()?;
        Some(Mark { id: Some(*id), source: *source, position: *position, previous: *previous, lineage })
    }
}

/// Why a record is no message of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// An attribute that every message has is not there.
    #[error("the message has no `{0}`")]
    Missing(&'static str),
    /// An attribute cannot be read.
    #[error("the message's `{attribute}` is `{value}`: {reason}")]
    Malformed {
        /// Which attribute, without `ce_`.
        attribute: &'static str,
        /// Its value, shortened.
        value: String,
        /// What it should be.
        reason: String,
    },
    /// A structured message that is no JSON object.
    #[error("the message is no CloudEvents JSON document: {0}")]
    NotStructured(String),
}

impl Envelope {
    /// The record of this message, in binary mode.
    pub fn encode(&self) -> NewRecord {
        let mut headers = Headers::new();
        headers.push("content-type", "application/json");
        for (name, value) in attributes::of(self) {
            headers.push(name, value);
        }
        NewRecord {
            key: Bytes::copy_from_slice(self.key.as_str().as_bytes()),
            headers,
            value: self.data.clone(),
            timestamp: self.recorded_at,
        }
    }

    /// Reads a message back.
    ///
    /// # Errors
    /// The record is no CloudEvent, or lacks what every message of ours has.
    pub fn decode(headers: &Headers, value: &Bytes) -> Result<Self, EnvelopeError> {
        decode::decode(headers, value)
    }

    pub(crate) fn mark(&self) -> Mark<'_> {
        let Self { id, origin, position, previous, lineage, .. } = self;
        let id = (!self.says_history_left()).then_some(*id);
        Mark { id, source: origin.source, position: *position, previous: *previous, lineage }
    }

    /// Whether it says that its store's history was left, and nothing else: [`HISTORY_LEFT_NAME`].
    pub fn says_history_left(&self) -> bool {
        self.name == HISTORY_LEFT_NAME
    }

    /// The history of its store that its position belongs to, as far as it names it.
    pub fn history(&self) -> History {
        History { incarnation: self.origin.source.incarnation, lineage: self.lineage.clone() }
    }

    /// The message as its type reads it; a message's version is in its name.
    pub fn raw(&self) -> RawEvent<'_> {
        RawEvent { name: &self.name, schema: 1, data: &self.data }
    }

    /// What a projection is told about the message. The effective command id stays with the publisher.
    pub fn delivery(&self) -> Delivery {
        Delivery {
            source: self.origin.source,
            position: self.position,
            stream: self.stream.clone(),
            version: self.version,
            event_id: self.id,
            recorded_at: self.recorded_at,
            command_id: None,
            bus_command: self.command_id.clone(),
            correlation_id: self.correlation_id,
            actor: self.actor.clone(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { system, service, source } = self;
        write!(f, "/{system}/{service}/{}/{}", source.store, source.incarnation)
    }
}

#[cfg(test)]
pub(crate) mod tests;
