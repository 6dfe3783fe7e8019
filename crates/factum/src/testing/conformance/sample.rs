//! The history that a handler is tried with.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    bus::{Envelope, Origin},
    model::{CorrelationId, Event, EventId, Source, StoreId, Timestamp},
    store::{Append, ExpectedVersion, Metadata, NewEvent, Position, StreamName, Tag, Version},
    testing::{IntoEvents, NOW, SOURCE, fixtures},
};

/// Where a sample's messages are published unless it says otherwise.
pub const TOPIC: &str = "conformance.sample.events";
/// How much later than the one before a message happens.
const BETWEEN: Duration = Duration::from_secs(1);

/// A sample history: what happened in which stream, in this order. Each fact happens a second after the one before it,
/// and becomes a message with a position, a version and an id that are the same in every run.
pub struct Sample<E> {
    told: Vec<Told>,
    versions: BTreeMap<String, u64>,
    topic: Arc<str>,
    at: Timestamp,
    events: PhantomData<fn() -> E>,
}

/// A message of a sample.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) topic: Arc<str>,
    pub(super) stream: StreamName,
    pub(super) name: &'static str,
    schema: u32,
    tags: Vec<Tag>,
    version: u64,
    /// Counted for each topic: each has a source of its own.
    pub(super) position: Position,
    at: Timestamp,
    data: Bytes,
    /// The bus command that it answers.
    command_id: Option<Arc<str>>,
}

impl<E: Event> Default for Sample<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Event> Sample<E> {
    /// Nothing has happened yet. What happens is published on [`TOPIC`].
    pub fn new() -> Self {
        Self { told: Vec::new(), versions: BTreeMap::new(), topic: TOPIC.into(), at: NOW, events: PhantomData }
    }

    /// What happens from here on is published on this topic, by a source of its own.
    #[must_use]
    pub fn on_topic(self, topic: &str) -> Self {
        Self { topic: topic.into(), ..self }
    }

    /// What happens from here on happens at this time, and a second later each.
    #[must_use]
    pub fn at(self, time: Timestamp) -> Self {
        Self { at: time, ..self }
    }

    /// These facts happened next in a stream, such as `account-7f3…`: facts of one kind in an array or a vector, of
    /// several kinds in a tuple.
    ///
    /// # Panics
    /// No stream can have this name.
    #[must_use]
    #[track_caller]
    pub fn after(mut self, stream: &str, facts: impl IntoEvents<E>) -> Self {
        let Ok(name) = StreamName::new(stream) else { panic!("no stream can be named `{stream}`") };
        for event in facts.into_events() {
            let version = self.versions.entry(stream.to_owned()).or_insert(0);
            *version += 1;
            let mut data = Vec::new();
            event.encode(&mut data);
            let before = self.told.iter().filter(|told| told.topic == self.topic).count();
            self.told.push(Told {
                topic: Arc::clone(&self.topic),
                stream: name.clone(),
                name: event.name(),
                schema: event.schema(),
                tags: event.tags(),
                version: *version,
                position: Position::new(before as u64 + 1),
                at: self.at,
                data: data.into(),
                command_id: None,
            });
            self.at = self.at.plus(BETWEEN);
        }
        self
    }

    pub(super) fn into_told(self) -> Vec<Told> {
        self.told
    }
}

/// What is said about a command that a process has sent.
pub(super) struct Reply {
    pub(super) topic: Arc<str>,
    pub(super) stream: StreamName,
    pub(super) name: &'static str,
    pub(super) data: Vec<u8>,
    pub(super) command_id: Arc<str>,
}

impl Told {
    /// A reply, as the message of this version of its stream and this position of its topic's source.
    pub(super) fn reply(reply: Reply, version: u64, position: Position, at: Timestamp) -> Self {
        let Reply { topic, stream, name, data, command_id } = reply;
        let (data, command_id) = (data.into(), Some(command_id));
        Self { topic, stream, name, schema: 1, tags: Vec::new(), version, position, at, data, command_id }
    }

    /// The message on a lane, after the one at `previous`.
    pub(super) fn envelope(&self, previous: Position) -> Envelope {
        let id = self.id();
        Envelope {
            id,
            origin: Origin { system: "conformance".to_owned(), service: "sample".to_owned(), source: self.source() },
            name: self.name.to_owned(),
            stream: self.stream.clone(),
            key: self.stream.clone(),
            version: Version::new(self.version),
            recorded_at: self.at,
            position: self.position,
            previous,
            lineage: Vec::new(),
            command_id: self.command_id.clone(),
            correlation_id: CorrelationId::from_uuid(id.as_uuid()),
            causation_id: None,
            actor: fixtures::actor(fixtures::ACTOR),
            data: self.data.clone(),
        }
    }

    /// The event in the service's own store, recorded at another time than the sample's where one is given.
    pub(super) fn append(&self, at: Option<Timestamp>) -> Append {
        let id = self.id();
        let metadata = Metadata {
            correlation_id: CorrelationId::from_uuid(id.as_uuid()),
            causation_id: None,
            actor: fixtures::actor(fixtures::ACTOR),
            bus_command: None,
        };
        let (name, schema, tags, data) = (self.name.into(), self.schema, self.tags.clone(), self.data.to_vec());
        let expected = match self.version - 1 {
            0 => ExpectedVersion::NoStream,
            before => ExpectedVersion::Exact(Version::new(before)),
        };
        let event = NewEvent { id, name, schema, tags, data };
        Append::new(metadata, at.unwrap_or(self.at)).stream(self.stream.clone(), expected, vec![event])
    }

    fn id(&self) -> EventId {
        let all = CorrelationId::from_uuid(SOURCE.store.as_uuid());
        EventId::from_uuid(all.derive(&format!("{} {}", self.topic, self.position)))
    }

    fn source(&self) -> Source {
        let store = Uuid::new_v5(&SOURCE.store.as_uuid(), self.topic.as_bytes());
        Source { store: StoreId::from_uuid(store), incarnation: SOURCE.incarnation }
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} of {})", self.name, self.version, self.stream)
    }
}
