//! The values that go into an event store and come out of it.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use factum_engine::{Boundary, ExpectedVersion, Position, StreamName, Tag, Version};
use serde::{Deserialize, Serialize};

use super::{Fork, History};
use crate::{
    model::{
        ActorId, CommandId, CorrelationId, DecodeError, Decoded, Delivery, Event, EventId, Incarnation, RawEvent,
        Source, StoreId, Timestamp,
    },
    read::Epoch,
};

/// Why an event was recorded, kept with each event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// What it belongs to across services.
    #[serde(rename = "correlation_id")]
    pub correlation_id: CorrelationId,
    /// The message or command that caused it, where one is known by id.
    #[serde(rename = "causation_id", default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<uuid::Uuid>,
    /// Who asked for it.
    pub actor: ActorId,
    /// The id of the bus command that caused it, as its sender sent it.
    #[serde(rename = "bus_command", default, skip_serializing_if = "Option::is_none")]
    pub bus_command: Option<Arc<str>>,
}

/// Space made at first for an event's document, in bytes; it grows as needed.
const DOCUMENT_BYTES_FIRST: usize = 256;

/// An event before the append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// Its wire name.
    pub name: Cow<'static, str>,
    /// Its schema version.
    pub schema: u32,
    /// Keys for boundaries.
    pub tags: Vec<Tag>,
    /// Its JSON document.
    pub data: Vec<u8>,
}

impl NewEvent {
    /// What a fact is appended as, under an id.
    pub fn of<E: Event>(id: EventId, fact: &E) -> Self {
        let mut data = Vec::with_capacity(DOCUMENT_BYTES_FIRST);
        fact.encode(&mut data);
        Self { id, name: fact.name().into(), schema: fact.schema(), tags: fact.tags(), data }
    }
}

/// Events for one stream, and what the stream must look like for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAppend {
    /// Which stream.
    pub stream: StreamName,
    /// The version it must have; there is no default.
    pub expected: ExpectedVersion,
    /// The events, in order. Empty: only the version is checked.
    pub events: Vec<NewEvent>,
}

/// A keyed hash of a request, to recognise a repeat.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:032x})", u128::from_be_bytes(self.0))
    }
}

/// The command an append stems from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandRecord {
    /// Its effective id.
    pub id: CommandId,
    /// What was asked under that id.
    pub fingerprint: Fingerprint,
}

/// A request to append: all of it, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Append {
    /// One entry per stream.
    pub streams: Vec<StreamAppend>,
    /// The command it stems from; judged before every other condition.
    pub command: Option<CommandRecord>,
    /// What must not have happened since it was read; judged after the command id and the versions.
    pub boundary: Option<Boundary>,
    /// Kept with each event.
    pub metadata: Metadata,
    /// When it is recorded.
    pub recorded_at: Timestamp,
}

impl Append {
    /// An append without streams yet.
    pub const fn new(metadata: Metadata, recorded_at: Timestamp) -> Self {
        Self { streams: Vec::new(), command: None, boundary: None, metadata, recorded_at }
    }

    /// Adds events for one stream.
    #[must_use]
    pub fn stream(mut self, stream: StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Self {
        self.streams.push(StreamAppend { stream, expected, events });
        self
    }

    /// Refuses it if an event of the boundary's selection stands behind the boundary's position.
    ///
    /// ```
    /// use factum::{ActorId, CorrelationId, ExpectedVersion, StreamName, Tag, Timestamp};
    /// use factum::store::{Append, Boundary, Clause, Metadata};
    ///
    /// let correlation_id = CorrelationId::from_uuid(uuid::Uuid::nil());
    /// let metadata = Metadata { correlation_id, causation_id: None, actor: ActorId::system(), bus_command: None };
    /// let nobody_has_it = Boundary::nothing_like(Clause::tags([Tag::new("email:ada@example.org")?]));
    /// let append = Append::new(metadata, Timestamp::default())
    ///     .stream(StreamName::new("user-1")?, ExpectedVersion::NoStream, Vec::new())
    ///     .unless(nobody_has_it);
    /// assert!(append.boundary.is_some());
    /// # Ok::<(), factum::store::InvalidName>(())
    /// ```
    #[must_use]
    pub fn unless(mut self, boundary: Boundary) -> Self {
        self.boundary = Some(boundary);
        self
    }

    /// Names the command it stems from.
    #[must_use]
    pub const fn command(mut self, command: CommandRecord) -> Self {
        self.command = Some(command);
        self
    }
}

/// What an accepted append returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Each stream with its version after the append.
    pub streams: Vec<(StreamName, Version)>,
    /// The position of its first event.
    pub first: Position,
    /// The position of its last event.
    pub last: Position,
    /// It was appended before, under the same command id.
    pub repeated: bool,
}

/// What the store remembers of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCommand {
    /// What was asked.
    pub fingerprint: Fingerprint,
    /// What was answered; marked as repeated.
    pub receipt: Receipt,
}

/// An event after the append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its place in the store.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Its number in the stream, from 1.
    pub version: Version,
    /// Its id.
    pub id: EventId,
    /// Its wire name.
    pub name: Arc<str>,
    /// Its schema version.
    pub schema: u32,
    /// Keys for boundaries.
    pub tags: Vec<Tag>,
    /// Its JSON document.
    pub data: Bytes,
    /// The effective id of the command that caused it.
    pub command_id: Option<CommandId>,
    /// Why it was recorded.
    pub metadata: Metadata,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

impl RecordedEvent {
    /// The event as its type reads it.
    ///
    /// # Errors
    /// See [`Event::decode`].
    pub fn decode<E: Event>(&self) -> Result<Decoded<E>, DecodeError> {
        E::decode(self.raw())
    }

    /// What its type reads it from.
    pub fn raw(&self) -> RawEvent<'_> {
        RawEvent { name: &self.name, schema: self.schema, data: &self.data }
    }

    /// What a projection on the store itself is told about it.
    pub fn delivery(&self, source: Source) -> Delivery {
        Delivery {
            source,
            position: self.position,
            stream: self.stream.clone(),
            version: self.version,
            event_id: self.id,
            recorded_at: self.recorded_at,
            command_id: self.command_id,
            bus_command: self.metadata.bus_command.clone(),
            correlation_id: self.metadata.correlation_id,
            actor: self.metadata.actor.clone(),
        }
    }
}

/// Events read, and how far the reading got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The events, in the order asked for.
    pub events: Vec<RecordedEvent>,
    /// The last position considered, also where nothing matched: the next read goes on from here. Forward at the end
    /// it is the head, or where the read began if that is beyond; backward at the beginning it is zero. A read that is
    /// not at the end gets on, but may have found nothing: it does a bounded amount of work.
    pub read_to: Position,
    /// Nothing more was there at the time.
    pub end: bool,
}

/// The two heads of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// The last position written.
    pub written: Position,
    /// The last position known to be durable.
    pub synced: Position,
}

/// Which store this is.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The store, for its whole life.
    pub store: StoreId,
    /// Its unbroken history now.
    pub incarnation: Incarnation,
    /// The restores that led here, oldest first.
    pub forks: Vec<Fork>,
    /// The key of its fingerprints.
    pub key: [u8; 32],
}

impl Identity {
    /// Store and incarnation: what positions of this store are named with.
    pub const fn source(&self) -> Source {
        Source { store: self.store, incarnation: self.incarnation }
    }

    /// The history that positions of this store belong to.
    pub fn history(&self) -> History {
        History { incarnation: self.incarnation, lineage: self.forks.clone() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        write!(f, "Identity({} {:?} {:?})", self.store, self.incarnation, self.forks)
    }
}

/// Progress kept with the event store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The epoch in force; 0 before the first claim.
    pub epoch: Epoch,
    /// The value; `None` before the first advance.
    pub value: Option<Vec<u8>>,
}
