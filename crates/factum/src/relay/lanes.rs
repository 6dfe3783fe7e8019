//! The partitions of one topic, and what is sent to them next.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    DynPublication, OutgoingMessage,
    checkpoint::RelayCheckpoint,
    end::{RelayHalt, Trouble},
    survey::Lane,
};
use crate::{
    bus::{Envelope, NewRecord, Offset, Origin, TopicPartition, partition_of},
    runtime::panic_text,
    store::{Fork, Position, RecordedEvent},
};

/// The most records of one call to the producer.
const PRODUCE_RECORDS_MAX: usize = 500;
/// The most bytes of one call to the producer; a single larger record still goes, alone.
const PRODUCE_BYTES_MAX: usize = 4 << 20;

/// What every message of a relay has in common.
pub(super) struct Publisher {
    pub(super) origin: Origin,
    pub(super) lineage: Vec<Fork>,
    pub(super) publication: DynPublication,
    pub(super) topic: Arc<str>,
}

/// The lanes of a topic, by partition.
pub(super) struct Lanes(Vec<Lane>);

/// Messages on their way, and up to where they go.
#[derive(Default)]
pub(super) struct Shipment {
    pub(super) records: Vec<(TopicPartition, NewRecord)>,
    /// Partition and position of each record, in order.
    pub(super) manifest: Vec<(u32, Position)>,
    /// The last position on its way to each partition.
    ahead: HashMap<u32, Position>,
    bytes: usize,
}

impl Shipment {
    pub(super) const fn is_full(&self) -> bool {
        self.records.len() >= PRODUCE_RECORDS_MAX || self.bytes >= PRODUCE_BYTES_MAX
    }
}

impl Lanes {
    pub(super) const fn new(lanes: Vec<Lane>) -> Self {
        Self(lanes)
    }

    /// Where reading starts: at the checkpoint, or before it where a partition lost something.
    pub(super) fn start(&self, checkpoint: &RelayCheckpoint) -> Position {
        let behind = (0..).zip(&self.0).filter(|(partition, lane)| lane.sent < checkpoint.last_sent(*partition));
        behind.map(|(_, lane)| lane.sent).fold(Position::new(checkpoint.read_to), Position::min)
    }

    /// Adds an event's message to a shipment, if it has one and its partition does not have it already.
    pub(super) fn load(
        &self,
        publisher: &Publisher,
        event: &RecordedEvent,
        shipment: &mut Shipment,
    ) -> Result<(), RelayHalt> {
        let Some(message) = publisher.translate(event)? else { return Ok(()) };
        let key = message.key.as_ref().unwrap_or(&event.stream);
        let partition = partition_of(key.as_str().as_bytes(), publisher.publication.partitions());
        let lane = &self.0[partition as usize];
        if event.position <= lane.sent {
            return Ok(());
        }
        let previous = shipment.ahead.insert(partition, event.position).unwrap_or(lane.sent);
        assert!(previous < event.position, "messages of a lane are sent in order of position");
        let record = publisher.envelope(event, message, previous).encode();
        shipment.bytes += record.bytes();
        shipment.records.push((TopicPartition::new(publisher.topic.clone(), partition), record));
        shipment.manifest.push((partition, event.position));
        Ok(())
    }

    /// The records of a shipment were acknowledged. An offset that is not above an earlier one means that the topic
    /// lost records or was made anew.
    pub(super) fn acknowledged(
        &mut self,
        sent: &[(u32, Position)],
        offsets: &[Offset],
        topic: &Arc<str>,
    ) -> Result<(), Trouble> {
        assert!(sent.len() == offsets.len(), "a producer answers each record with its offset");
        for ((partition, position), offset) in sent.iter().zip(offsets) {
            let lane = &mut self.0[*partition as usize];
            if lane.last_offset.is_some_and(|last| *offset <= last) {
                return Err(Trouble::Later(format!(
                    "topic {topic} lost acknowledged records, or was made anew: checking what it still has"
                )));
            }
            *lane = Lane { sent: *position, sent_at: Some(*offset), last_offset: Some(*offset) };
        }
        Ok(())
    }

    /// Writes the lanes into a checkpoint.
    pub(super) fn record(&self, checkpoint: &mut RelayCheckpoint) {
        for (partition, lane) in (0..).zip(&self.0) {
            if let Some(at) = lane.sent_at {
                checkpoint.last_sent.insert(partition, lane.sent.get());
                checkpoint.offsets.insert(partition, at.get());
            } else {
                checkpoint.last_sent.remove(&partition);
                checkpoint.offsets.remove(&partition);
            }
        }
    }
}

impl Publisher {
    fn translate(&self, event: &RecordedEvent) -> Result<Option<OutgoingMessage>, RelayHalt> {
        let position = event.position;
        catch_unwind(AssertUnwindSafe(|| self.publication.translate(event, self.origin.source)))
            .map_err(|payload| RelayHalt::Panicked { position, panic: panic_text(payload.as_ref()) })?
            .map_err(|source| RelayHalt::Undecodable { position, source })
    }

    fn envelope(&self, event: &RecordedEvent, message: OutgoingMessage, previous: Position) -> Envelope {
        Envelope {
            id: event.id,
            origin: self.origin.clone(),
            name: message.name.to_owned(),
            stream: event.stream.clone(),
            key: message.key.unwrap_or_else(|| event.stream.clone()),
            version: event.version,
            recorded_at: event.recorded_at,
            position: event.position,
            previous,
            lineage: self.lineage.clone(),
            command_id: message.command_id.or_else(|| event.metadata.bus_command.clone()),
            correlation_id: event.metadata.correlation_id,
            causation_id: event.metadata.causation_id,
            actor: event.metadata.actor.clone(),
            data: message.data.into(),
        }
    }
}
