//! One message that is parked: all that a projection is told about it, and where it came from.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    bus::{Envelope, TopicPartition},
    model::{ActorId, CommandId, CorrelationId, Delivery, EventId, Incarnation, RawEvent, Source, StoreId, Timestamp},
    read::{Lane, ReadError},
    store::{Position, RecordedEvent, StreamName, Version},
};

/// A message on its way into a read model, from whichever source.
pub(crate) struct Incoming<'a> {
    pub(crate) raw: RawEvent<'a>,
    pub(crate) delivery: Delivery,
    /// Where it came from; `None`: the own store.
    pub(crate) partition: Option<&'a TopicPartition>,
}

impl<'a> Incoming<'a> {
    pub(crate) fn message(message: &'a Envelope, partition: &'a TopicPartition) -> Self {
        Self { raw: message.raw(), delivery: message.delivery(), partition: Some(partition) }
    }

    pub(crate) fn event(event: &'a RecordedEvent, source: Source) -> Self {
        Self { raw: event.raw(), delivery: event.delivery(source), partition: None }
    }
}

/// A message that is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedMessage {
    /// The id of its event.
    pub event_id: EventId,
    /// Its name.
    pub name: String,
    /// Its schema version.
    pub schema: u32,
    /// The store that recorded it.
    pub store: StoreId,
    /// The history of that store.
    pub incarnation: Incarnation,
    /// Its position there.
    pub position: u64,
    /// The topic it came on; none: the service's own store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Arc<str>>,
    /// The partition it came on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Its stream.
    pub stream: String,
    /// Its number in that stream.
    pub version: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The effective id of the command that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// The id of the bus command that caused it, as its sender sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_command: Option<Arc<str>>,
    /// What it belongs to across services.
    pub correlation_id: CorrelationId,
    /// Who asked for it.
    pub actor: ActorId,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// Its document as text; of one that is no text, `data_base64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Its document, where it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

impl ParkedMessage {
    pub(super) fn of(message: &Incoming<'_>, parked_at: Timestamp) -> Self {
        let Incoming { raw, delivery, partition } = message;
        let (data, data_base64) = match std::str::from_utf8(raw.data) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(raw.data))),
        };
        Self {
            event_id: delivery.event_id,
            name: raw.name.to_owned(),
            schema: raw.schema,
            store: delivery.source.store,
            incarnation: delivery.source.incarnation,
            position: delivery.position.get(),
            topic: partition.map(|from| Arc::clone(&from.topic)),
            partition: partition.map(|from| from.partition),
            stream: delivery.stream.as_str().to_owned(),
            version: delivery.version.get(),
            recorded_at: delivery.recorded_at,
            command_id: delivery.command_id,
            bus_command: delivery.bus_command.clone(),
            correlation_id: delivery.correlation_id,
            actor: delivery.actor.clone(),
            parked_at,
            data,
            data_base64,
        }
    }

    /// The lane whose watermark has passed it.
    pub(super) fn lane(&self) -> Lane {
        match (&self.topic, self.partition) {
            (Some(topic), Some(partition)) => {
                Lane::topic(&Source { store: self.store, incarnation: self.incarnation }, topic, partition)
            }
            _ => Lane::own_store(),
        }
    }

    /// Where it came from; none: the own store.
    pub(super) fn partition(&self) -> Option<TopicPartition> {
        let (topic, partition) = self.topic.clone().zip(self.partition)?;
        Some(TopicPartition::new(topic, partition))
    }

    /// What its handler is told about it, as when it came.
    pub(crate) fn delivery(&self) -> Result<Delivery, ReadError> {
        Ok(Delivery {
            source: Source { store: self.store, incarnation: self.incarnation },
            position: Position::new(self.position),
            stream: StreamName::new(self.stream.as_str()).map_err(|error| self.damaged(error))?,
            version: Version::new(self.version),
            event_id: self.event_id,
            recorded_at: self.recorded_at,
            command_id: self.command_id,
            bus_command: self.bus_command.clone(),
            correlation_id: self.correlation_id,
            actor: self.actor.clone(),
        })
    }

    /// What its type reads it from; `document`: the bytes of its document.
    pub(crate) fn raw<'a>(&'a self, document: &'a [u8]) -> RawEvent<'a> {
        RawEvent { name: &self.name, schema: self.schema, data: document }
    }

    /// The bytes of its document.
    pub(crate) fn document(&self) -> Result<Vec<u8>, ReadError> {
        match (&self.data, &self.data_base64) {
            (_, Some(encoded)) => STANDARD.decode(encoded).map_err(|error| self.damaged(error)),
            (data, None) => Ok(data.clone().unwrap_or_default().into_bytes()),
        }
    }

    fn damaged(&self, source: impl std::error::Error + Send + Sync + 'static) -> ReadError {
        ReadError::Damaged { place: format!("the parked message {}", self.event_id), source: source.into() }
    }
}
