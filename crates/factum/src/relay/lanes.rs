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
    survey::{self, Lane, Mark},
};
use crate::{
    bus::{Bus, Envelope, HISTORY_LEFT_NAME, NewRecord, Offset, Origin, TopicPartition, partition_of},
    model::{ActorId, CorrelationId, EventId, Timestamp},
    runtime::panic_text,
    store::{Fork, Position, RecordedEvent, StreamName, Version},
};

/// The most records of one call to the producer.
const PRODUCE_RECORDS_MAX: usize = 500;
/// The most bytes of one call to the producer; a single larger record still goes, alone.
const PRODUCE_BYTES_MAX: usize = 4 << 20;

/// The category of the stream that a message names which says that a history was left: nothing is recorded in it.
const HISTORY_CATEGORY: &str = "history";
/// The document of such a message: its attributes say it all.
const HISTORY_LEFT_DOCUMENT: &[u8] = b"{}";

/// What every message of a relay has in common.
pub(super) struct Publisher {
    pub(super) origin: Origin,
    pub(super) lineage: Vec<Fork>,
    pub(super) publication: DynPublication,
    pub(super) topic: Arc<str>,
}

/// The lanes of a topic, by partition.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Where the present history began, as long as partitions are to say so.
    tells_from: Option<Position>,
}

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
    fn push(&mut self, to: TopicPartition, position: Position, record: NewRecord) {
        self.bytes += record.bytes();
        self.manifest.push((to.partition, position));
        self.records.push((to, record));
    }

    pub(super) const fn is_full(&self) -> bool {
        self.records.len() >= PRODUCE_RECORDS_MAX || self.bytes >= PRODUCE_BYTES_MAX
    }
}

impl Lanes {
    pub(super) fn new(lanes: Vec<Lane>, lineage: &[Fork]) -> Self {
        let tells_from = lineage.last().map(|fork| fork.position);
        Self { tells_from: tells_from.filter(|_| lanes.iter().any(|lane| lane.untold)), lanes }
    }

    /// Whether it is time to say where a history was left: everything that comes before is sent, and nothing that comes
    /// after.
    pub(super) fn are_to_tell(&self, read_to: Position) -> bool {
        self.tells_from.is_some_and(|from| read_to >= from)
    }

    /// The next messages that say where a history was left, each on a partition that does not say so yet.
    pub(super) fn tell(&mut self, publisher: &Publisher, now: Timestamp) -> Option<Shipment> {
        let from = self.tells_from?;
        let mut shipment = Shipment::default();
        for (partition, lane) in (0..).zip(&self.lanes).filter(|(_, lane)| lane.untold).take(PRODUCE_RECORDS_MAX) {
            let record = publisher.history_left(partition, (lane.sent.min(from), from), now).encode();
            shipment.push(TopicPartition::new(publisher.topic.clone(), partition), from, record);
        }
        if shipment.records.is_empty() {
            self.tells_from = None;
            return None;
        }
        Some(shipment)
    }

    /// Where reading starts: at the checkpoint, or before it where a partition lost something.
    pub(super) fn start(&self, checkpoint: &RelayCheckpoint) -> Position {
        let behind = (0..).zip(&self.lanes).filter(|(partition, lane)| lane.sent < checkpoint.goes_on_from(*partition));
        behind.map(|(_, lane)| lane.sent).fold(Position::new(checkpoint.read_to), Position::min)
    }

    /// Adds an event's message to a shipment, if it has one and its partition does not have it already.
    pub(super) fn load(
        &self,
        publisher: &Publisher,
        event: &RecordedEvent,
        shipment: &mut Shipment,
    ) -> Result<(), RelayHalt> {
        let Some((partition, message)) = publisher.outgoing(event)? else { return Ok(()) };
        let lane = &self.lanes[partition as usize];
        if event.position <= lane.sent {
            return Ok(());
        }
        let previous = shipment.ahead.insert(partition, event.position).unwrap_or(lane.sent);
        assert!(previous < event.position, "messages of a lane are sent in order of position");
        let record = publisher.envelope(event, message, previous).encode();
        shipment.push(TopicPartition::new(publisher.topic.clone(), partition), event.position, record);
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
            let lane = &mut self.lanes[*partition as usize];
            if lane.last_offset.is_some_and(|last| *offset <= last) {
                return Err(lost_records(topic));
            }
            // What says where a history was left stands at the fork, perhaps beside the last message before it.
            if *position > lane.sent {
                (lane.sent, lane.sent_at) = (*position, Some(*offset));
            }
            // Where nothing was before, the first one is what the next look is for.
            lane.seen = lane.seen.or(Some(Mark { position: lane.sent, offset: *offset }));
            lane.last_offset = Some(*offset);
            // What was sent again from before the fork says nothing about it.
            lane.untold &= self.tells_from.is_some_and(|from| *position < from);
        }
        Ok(())
    }

    /// Looks whether each partition still has the message before those that were acknowledged since the last look.
    /// Where it lost records, whoever was displaced and does not know it yet may have filled their offsets: the offsets
    /// of what was sent after that tell nothing then.
    pub(super) async fn look_back(&mut self, bus: &dyn Bus, topic: &Arc<str>) -> Result<(), Trouble> {
        self.are_there(Lane::unseen, bus, topic).await?;
        self.lanes.iter_mut().for_each(Lane::looked_at);
        Ok(())
    }

    /// Looks whether each partition still has the last message that was acknowledged on it.
    pub(super) async fn look(&self, bus: &dyn Bus, topic: &Arc<str>) -> Result<(), Trouble> {
        self.are_there(Lane::last, bus, topic).await
    }

    async fn are_there(&self, mark: fn(Lane) -> Option<Mark>, bus: &dyn Bus, topic: &Arc<str>) -> Result<(), Trouble> {
        for (partition, lane) in (0..).zip(&self.lanes) {
            let Some(mark) = mark(*lane) else { continue };
            if !survey::is_there(bus, &TopicPartition::new(topic.clone(), partition), mark).await? {
                return Err(lost_records(topic));
            }
        }
        Ok(())
    }

    /// Writes the lanes into a checkpoint.
    pub(super) fn record(&self, checkpoint: &mut RelayCheckpoint) {
        for (partition, lane) in (0..).zip(&self.lanes) {
            if let Some(at) = lane.sent_at {
                checkpoint.last_sent.insert(partition, lane.sent.get());
                checkpoint.offsets.insert(partition, at.get());
                checkpoint.rewound.remove(&partition);
            } else if checkpoint.rewound.get(&partition) != Some(&lane.sent.get()) {
                checkpoint.last_sent.remove(&partition);
                checkpoint.offsets.remove(&partition);
                checkpoint.rewound.remove(&partition);
            }
        }
    }
}

fn lost_records(topic: &str) -> Trouble {
    Trouble::Later(format!("topic {topic} lost acknowledged records, or was made anew: checking what it still has"))
}

impl Publisher {
    /// An event's message, if it has one, and its partition.
    pub(super) fn outgoing(&self, event: &RecordedEvent) -> Result<Option<(u32, OutgoingMessage)>, RelayHalt> {
        let Some(message) = self.translate(event)? else { return Ok(None) };
        let key = message.key(&event.stream);
        let partition = partition_of(key.as_str().as_bytes(), self.publication.partitions());
        Ok(Some((partition, message)))
    }

    fn translate(&self, event: &RecordedEvent) -> Result<Option<OutgoingMessage>, RelayHalt> {
        let position = event.position;
        catch_unwind(AssertUnwindSafe(|| self.publication.translate(event, self.origin.source)))
            .map_err(|payload| RelayHalt::Panicked { position, panic: panic_text(payload.as_ref()) })?
            .map_err(|source| RelayHalt::Undecodable { position, source })
    }

    /// Says on a partition that an earlier history was left, from its `previous` message at the fork. The same as often as it
    /// is sent, but for the time.
    fn history_left(&self, partition: u32, (previous, position): (Position, Position), now: Timestamp) -> Envelope {
        let incarnation = self.origin.source.incarnation;
        let id = incarnation.derive(&format!("history left on {}/{partition}", self.topic));
        let stream = StreamName::new(format!("{HISTORY_CATEGORY}-{incarnation}"));
        let stream = stream.expect("a category and a UUID are a stream's name");
        Envelope {
            id: EventId::from_uuid(id),
            origin: self.origin.clone(),
            name: HISTORY_LEFT_NAME.to_owned(),
            key: stream.clone(),
            stream,
            version: Version::ZERO,
            recorded_at: now,
            position,
            previous,
            lineage: self.lineage.clone(),
            command_id: None,
            correlation_id: CorrelationId::from_uuid(incarnation.as_uuid()),
            causation_id: None,
            actor: ActorId::system(),
            data: HISTORY_LEFT_DOCUMENT.into(),
        }
    }

    fn envelope(&self, event: &RecordedEvent, message: OutgoingMessage, previous: Position) -> Envelope {
        Envelope {
            id: event.id,
            origin: self.origin.clone(),
            name: message.name.to_owned(),
            stream: event.stream.clone(),
            key: message.key(&event.stream).clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::{Headers, MemoryBus, TopicSpec},
        testing::NOW,
    };

    /// The first message of a partition was lost before the checkpoint said that it was sent, and a twin that was displaced
    /// sent something in its place: the next one's offset is above the first one's, as it should be.
    #[tokio::test]
    async fn the_first_message_of_a_partition_is_looked_for_before_more_is_said_to_be_sent() {
        let topic: Arc<str> = "shop.counters.counter.events".into();
        let bus = MemoryBus::new();
        bus.ensure_topics(&[TopicSpec::new(&topic, 1).unwrap()]).await.unwrap();
        let of_the_twin =
            NewRecord { key: "k".into(), headers: Headers::new(), value: "another".into(), timestamp: NOW };
        let partition = TopicPartition::new(topic.clone(), 0);
        bus.producer().await.unwrap().produce(vec![(partition, of_the_twin)]).await.unwrap();
        let mut lanes = Lanes::new(vec![Lane::default()], &[]);
        lanes.acknowledged(&[(0, Position::new(1))], &[Offset::new(0)], &topic).unwrap();
        assert!(lanes.look_back(&bus, &topic).await.is_ok(), "nothing was sent behind it that could be in vain");
        let mut lanes = Lanes::new(vec![Lane::default()], &[]);
        lanes.acknowledged(&[(0, Position::new(1))], &[Offset::new(0)], &topic).unwrap();
        lanes.acknowledged(&[(0, Position::new(2))], &[Offset::new(1)], &topic).unwrap();
        assert!(lanes.look_back(&bus, &topic).await.is_err());
    }
}
