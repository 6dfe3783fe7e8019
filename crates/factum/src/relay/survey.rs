//! What a topic still has of what was sent. Evidence for sending again, never permission to skip.

use super::{
    checkpoint::{RelayCheckpoint, shared_up_to},
    end::{RelayHalt, Trouble},
};
use crate::{
    bus::{Bus, Envelope, Offset, Record, TopicPartition},
    store::{Identity, Position},
};

/// How many records are looked at to find where a partition's loss began; beyond it, all of the partition is sent
/// again.
const SURVEY_RECORDS_MAX: usize = 1_000;

/// How far one partition is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lane {
    /// The position of the last message that the topic surely has: the next one's `previous`.
    pub(super) sent: Position,
    /// The offset of that message.
    pub(super) sent_at: Option<Offset>,
    /// The highest offset seen: the next acknowledgement must be above it.
    pub(super) last_offset: Option<Offset>,
}

/// Looks at a topic's tails.
pub(super) struct Survey<'a> {
    pub(super) bus: &'a dyn Bus,
    pub(super) identity: &'a Identity,
    /// Where the store ends.
    pub(super) head: Position,
    pub(super) checkpoint: &'a RelayCheckpoint,
}

impl Survey<'_> {
    /// Compares a partition with the checkpoint: what the topic lost is behind the lane's `sent` and will be sent
    /// again.
    pub(super) async fn lane(&self, partition: &TopicPartition) -> Result<Lane, Trouble> {
        let Some(tail) = self.bus.tail(partition, None).await? else { return Ok(Lane::default()) };
        self.known_position(partition, &tail)?;
        let last_offset = Some(tail.offset);
        let believed = self.checkpoint.last_sent(partition.partition);
        if believed == Position::ZERO {
            return Ok(Lane { last_offset, ..Lane::default() });
        }
        // The tail alone proves nothing: a topic made anew may have grown beyond the checkpoint already. The record
        // at the offset acknowledged for the last message must be that message.
        let mark = match self.checkpoint.offset(partition.partition) {
            Some(offset) if offset < tail.offset => self.bus.tail(partition, Some(offset.next())).await?,
            _ => Some(tail),
        };
        let survivor = self.last_at_or_below(partition, believed, mark).await?;
        let (sent, sent_at) = survivor.map_or((Position::ZERO, None), |(sent, at)| (sent, Some(at)));
        Ok(Lane { sent, sent_at, last_offset })
    }

    /// The newest record from `mark` back whose position is not beyond `believed`.
    async fn last_at_or_below(
        &self,
        partition: &TopicPartition,
        believed: Position,
        mut mark: Option<Record>,
    ) -> Result<Option<(Position, Offset)>, Trouble> {
        for _ in 0..SURVEY_RECORDS_MAX {
            let Some(record) = mark else { return Ok(None) };
            match self.known_position(partition, &record)? {
                Some(position) if position <= believed => return Ok(Some((position, record.offset))),
                _ => mark = self.bus.tail(partition, Some(record.offset)).await?,
            }
        }
        Ok(None)
    }

    /// The position of a record in this store's history; `None` when it lies beyond a fork.
    fn known_position(&self, partition: &TopicPartition, record: &Record) -> Result<Option<Position>, RelayHalt> {
        let message = Envelope::decode(&record.headers, &record.value).map_err(|source| RelayHalt::NoMessage {
            partition: partition.clone(),
            offset: record.offset,
            source,
        })?;
        let source = message.origin.source;
        if source.store != self.identity.store {
            return Err(RelayHalt::ForeignTopic { partition: partition.clone(), found: source.store });
        }
        if source.incarnation == self.identity.incarnation {
            if message.position > self.head {
                return Err(RelayHalt::StoreWentBack { published: message.position, head: self.head });
            }
            return Ok(Some(message.position));
        }
        let shared = shared_up_to(&self.identity.forks, source.incarnation)
            .ok_or(RelayHalt::ForeignHistory { partition: partition.clone(), found: source.incarnation })?;
        Ok(Some(message.position).filter(|position| *position <= shared))
    }
}
