//! Events on their way into the engine and out of it.

use std::sync::Arc;

use bytes::Bytes;
use factum_engine::{self as engine, Page, StoredEvent};
use uuid::Uuid;

use crate::{
    model::{CommandId, EventId, Timestamp},
    store::{Append, AppendError, Batch, Metadata, RecordedEvent, StoreError, StreamName, Tag},
};

/// Wire names remembered while a batch is converted; a store has few, and an aggregate fewer.
const NAMES_MAX: usize = 16;

/// An append as the engine takes it: metadata as JSON beside each event.
pub(super) fn to_engine(append: Append) -> Result<engine::Append, AppendError> {
    let Append { streams, command, boundary, metadata, recorded_at } = append;
    let metadata = serde_json::to_vec(&metadata)
        .map_err(|error| AppendError::Refused(format!("its metadata cannot be written: {error}")))?;
    let mut converted = engine::Append::new(recorded_at.as_micros());
    converted.command = command.map(|command| engine::CommandRecord {
        id: command.id.as_uuid().into_bytes(),
        fingerprint: command.fingerprint.0,
    });
    converted.boundary = boundary;
    converted.streams.reserve_exact(streams.len());
    for part in streams {
        let events = part.events.into_iter().map(|event| engine::NewEvent {
            id: event.id.as_uuid().into_bytes(),
            name: event.name,
            schema: event.schema,
            tags: event.tags,
            metadata: metadata.clone(),
            data: event.data,
        });
        converted = converted.stream(part.stream, part.expected, events.collect());
    }
    Ok(converted)
}

/// Turns stored events into recorded ones. Neighbours tend to have their block, stream, name and metadata in common:
/// what the event before had is shared, not made again.
#[derive(Default)]
pub(super) struct Recorder {
    block: Option<(Arc<[u8]>, Bytes)>,
    stream: Option<StreamName>,
    names: Vec<Arc<str>>,
    metadata: Option<(Vec<u8>, Metadata)>,
}

impl Recorder {
    /// For events of one stream.
    pub(super) fn of_stream(stream: &StreamName) -> Self {
        Self { stream: Some(stream.clone()), ..Self::default() }
    }

    /// A page as a batch.
    pub(super) fn batch(mut self, page: Page) -> Result<Batch, StoreError> {
        let Page { events, read_to, end } = page;
        let events = events.iter().map(|event| self.record(event)).collect::<Result<_, _>>()?;
        Ok(Batch { events, read_to, end })
    }

    fn record(&mut self, event: &StoredEvent) -> Result<RecordedEvent, StoreError> {
        let tags = event.tags().map(Tag::new).collect::<Result<_, _>>();
        Ok(RecordedEvent {
            position: event.position(),
            stream: self.stream(event.stream())?,
            version: event.version(),
            id: EventId::from_uuid(Uuid::from_bytes(event.id())),
            name: self.name(event.name()),
            schema: event.schema(),
            tags: tags.map_err(|error| StoreError::Damaged(error.into()))?,
            data: self.data(event),
            command_id: event.command().map(|command| CommandId::from_uuid(Uuid::from_bytes(command.id))),
            metadata: self.metadata(event.metadata())?,
            recorded_at: Timestamp::from_micros(event.recorded_at()),
        })
    }

    /// The event's data, without a copy: a part of the block its page was read into.
    fn data(&mut self, event: &StoredEvent) -> Bytes {
        let (block, range) = event.data_block();
        match &self.block {
            Some((known, bytes)) if Arc::ptr_eq(known, &block) => bytes.slice(range),
            _ => {
                let bytes = Bytes::from_owner(block.clone());
                let data = bytes.slice(range);
                self.block = Some((block, bytes));
                data
            }
        }
    }

    fn stream(&mut self, name: &str) -> Result<StreamName, StoreError> {
        if let Some(known) = self.stream.as_ref().filter(|known| known.as_str() == name) {
            return Ok(known.clone());
        }
        let stream = StreamName::new(name).map_err(|error| StoreError::Damaged(error.into()))?;
        self.stream = Some(stream.clone());
        Ok(stream)
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.iter().find(|known| &***known == name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        if self.names.len() < NAMES_MAX {
            self.names.push(name.clone());
        }
        name
    }

    fn metadata(&mut self, json: &[u8]) -> Result<Metadata, StoreError> {
        if let Some((_, known)) = self.metadata.as_ref().filter(|(known, _)| known == json) {
            return Ok(known.clone());
        }
        let metadata: Metadata = serde_json::from_slice(json).map_err(|error| StoreError::Damaged(error.into()))?;
        self.metadata = Some((json.to_vec(), metadata.clone()));
        Ok(metadata)
    }
}
