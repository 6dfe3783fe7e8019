//! What a topic still has of what was sent. Evidence for sending again, never permission to skip.

use std::time::Duration;

use super::{
    checkpoint::RelayCheckpoint,
    end::{RelayHalt, Trouble},
};
use crate::{
    bus::{
        Assignment, Bus, BusError, BusEvent, ConsumerOptions, Envelope, EnvelopeError, NO_MESSAGES_MAX, Offset,
        TopicPartition, last_message,
    },
    runtime::Runtime,
    store::{EventStore, Fork, Position},
};

/// How long to wait for the next records of a partition that is known to have some.
const SCAN_WAIT_MAX: Duration = Duration::from_secs(10);

/// How far one partition is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lane {
    /// The position of the last message that the topic surely has, and all before it: the next one's `previous`.
    pub(super) sent: Position,
    /// The offset of that message.
    pub(super) sent_at: Option<Offset>,
    /// The last message that the topic was seen to have.
    pub(super) seen: Option<Mark>,
    /// The highest offset seen: the next acknowledgement must be above it.
    pub(super) last_offset: Option<Offset>,
    /// Whoever reads it cannot know yet, or cannot any more, that a history was left.
    pub(super) untold: bool,
}

/// A message of this history, and where it was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    pub(super) offset: Offset,
}

/// Looks at a topic's partitions.
pub(super) struct Survey<'a> {
    pub(super) bus: &'a dyn Bus,
    pub(super) runtime: &'a Runtime,
    pub(super) store: &'a dyn EventStore,
    pub(super) checkpoint: &'a RelayCheckpoint,
}

impl Lane {
    fn whole(sent: Position, sent_at: Option<Offset>, end: Offset) -> Self {
        let seen = sent_at.map(|offset| Mark { position: sent, offset });
        Self { sent, sent_at, seen, last_offset: Some(end), untold: false }
    }

    /// The same, to be sent again from after a position that it is beyond.
    fn rewound(self, to: Position) -> Self {
        if to < self.sent { Self { sent: to, sent_at: None, ..self } } else { self }
    }

    /// The message that was seen last, if others were acknowledged since.
    pub(super) fn unseen(self) -> Option<Mark> {
        self.seen.filter(|mark| Some(mark.offset) != self.sent_at)
    }

    /// The last message that was acknowledged.
    pub(super) fn last(self) -> Option<Mark> {
        self.sent_at.map(|offset| Mark { position: self.sent, offset })
    }

    /// The message that was acknowledged last is still there.
    pub(super) fn looked_at(&mut self) {
        self.seen = self.last();
    }
}

/// Whether a message is still where it was acknowledged.
pub(super) async fn is_there(bus: &dyn Bus, partition: &TopicPartition, mark: Mark) -> Result<bool, BusError> {
    let record = bus.tail(partition, Some(mark.offset.next())).await?.filter(|record| record.offset == mark.offset);
    let message = record.and_then(|record| Envelope::decode(&record.headers, &record.value).ok());
    Ok(message.is_some_and(|message| message.position == mark.position))
}

impl Survey<'_> {
    /// Compares a partition with the checkpoint: what the topic lost is behind the lane's `sent` and will be sent
    /// again.
    pub(super) async fn lane(&self, partition: &TopicPartition) -> Result<Lane, Trouble> {
        let (end, last) = self.last(partition).await?;
        let Some(end) = end else {
            return Ok(Lane { untold: self.is_untold(None, Position::ZERO, false), ..Lane::default() });
        };
        // Looked at after the tail: a twin may have published meanwhile what was appended meanwhile.
        let head = self.store.heads().await?.synced;
        let last = last.map(|last| self.message(partition, last, head)).transpose()?;
        let believed = self.checkpoint.last_sent(partition.partition);
        let mut lane = match believed {
            Position::ZERO => Lane { last_offset: Some(end), ..Lane::default() },
            _ => self.sent(partition, believed, end, head).await?,
        };
        if let Some(to) = self.checkpoint.rewound.get(&partition.partition) {
            lane = lane.rewound(Position::new(*to));
        }
        lane.untold = self.is_untold(last.as_ref(), lane.sent, lane.sent < believed);
        Ok(lane)
    }

    /// How far a partition that is not empty has what the checkpoint says.
    async fn sent(
        &self,
        partition: &TopicPartition,
        believed: Position,
        end: Offset,
        head: Position,
    ) -> Result<Lane, Trouble> {
        // The tail alone proves nothing: a topic that lost records, or was made anew, may have grown since. The record
        // at the offset that was acknowledged for the last message must be that message.
        if let Some(offset) = self.checkpoint.offset(partition.partition) {
            let mark = self.bus.tail(partition, Some(offset.next())).await?.filter(|mark| mark.offset == offset);
            let mark = mark.and_then(|mark| Envelope::decode(&mark.headers, &mark.value).ok());
            let mark = mark.map(|mark| self.message(partition, mark, head)).transpose()?;
            if mark.is_some_and(|mark| self.is_shared(&mark) && mark.position == believed) {
                return Ok(Lane::whole(believed, Some(offset), end));
            }
        }
        let (sent, sent_at) = self.scan(partition, believed, end, head).await?;
        Ok(Lane::whole(sent, sent_at, end))
    }

    /// Whether a partition is still to say where the present history began: it ends with an earlier one, or what it has of
    /// the present one ends before that, or has a hole before that. Not only where it said so before: that may be lost, while
    /// those who heard it are as far as it said, where nobody else would come.
    fn is_untold(&self, last: Option<&Envelope>, sent: Position, has_hole: bool) -> bool {
        let identity = self.store.identity();
        let Some(began) = identity.forks.last().map(|fork| fork.position) else { return false };
        match last {
            Some(last) if last.origin.source.incarnation != identity.incarnation => true,
            Some(last) if last.position >= began && !has_hole => false,
            _ => sent < began,
        }
    }

    /// The offset of a partition's last record, and its last message. What is no message is nobody's evidence: of what was
    /// put there by mistake nothing follows about what was sent.
    async fn last(&self, partition: &TopicPartition) -> Result<(Option<Offset>, Option<Envelope>), Trouble> {
        let pass_over = |offset, error: &EnvelopeError| passed_over(partition, offset, error);
        let last = last_message(self.bus, partition, NO_MESSAGES_MAX, pass_over).await?;
        if last.message.is_none() && last.passed_over == NO_MESSAGES_MAX {
            return Err(RelayHalt::NoMessages { partition: partition.clone(), records: NO_MESSAGES_MAX }.into());
        }
        Ok((last.tail, last.message))
    }

    /// Something is missing: how far a new reader would get, by its watermark. What follows a hole does not count,
    /// although it is there.
    async fn scan(
        &self,
        partition: &TopicPartition,
        believed: Position,
        end: Offset,
        head: Position,
    ) -> Result<(Position, Option<Offset>), Trouble> {
        tracing::warn!(%partition, %believed, "the topic lost messages: looking how far it is whole");
        let assignment = Assignment::Static(vec![partition.clone()]);
        let (group, topics) = (format!("survey/{}", partition.topic), vec![partition.topic.clone()]);
        let mut consumer = self.bus.consumer(ConsumerOptions { group, topics, assignment }).await?;
        let (mut watermark, mut at) = (Position::ZERO, None);
        while consumer.position(partition).is_none_or(|next| next <= end) {
            let event = self.runtime.within(SCAN_WAIT_MAX, consumer.next()).await;
            match event.unwrap_or_else(|| Err(BusError::Unavailable("no records although there are some".into())))? {
                BusEvent::Assigned(_) => {
                    let earliest = consumer.earliest(partition).await?;
                    consumer.seek(partition, earliest).await?;
                }
                BusEvent::Records(_, records) => {
                    for record in records.iter().filter(|record| record.offset <= end) {
                        let message = match Envelope::decode(&record.headers, &record.value) {
                            Ok(message) => self.message(partition, message, head)?,
                            Err(error) => {
                                passed_over(partition, record.offset, &error);
                                continue;
                            }
                        };
                        let Envelope { previous, position, .. } = message;
                        let is_next = previous <= watermark && watermark < position && position <= believed;
                        if is_next && self.is_shared(&message) {
                            (watermark, at) = (position, Some(record.offset));
                        }
                    }
                }
                BusEvent::Revoked(..) => return Err(BusError::UnknownTopic(partition.topic.clone()).into()),
            }
        }
        Ok((watermark, at))
    }

    /// A message, if it is of this store, and of a history that it descends from.
    fn message(&self, partition: &TopicPartition, message: Envelope, head: Position) -> Result<Envelope, RelayHalt> {
        let source = message.origin.source;
        let identity = self.store.identity();
        if source.store != identity.store {
            return Err(RelayHalt::ForeignTopic { partition: partition.clone(), found: source.store });
        }
        if source.incarnation == identity.incarnation {
            if message.position > head {
                return Err(RelayHalt::StoreWentBack { published: message.position, head });
            }
        } else if Fork::shared_up_to(&identity.forks, source.incarnation).is_none() {
            return Err(RelayHalt::ForeignHistory { partition: partition.clone(), found: source.incarnation });
        }
        Ok(message)
    }

    /// Whether a message's position means the same event in this store's history: it does not lie beyond a fork.
    fn is_shared(&self, message: &Envelope) -> bool {
        let (identity, incarnation) = (self.store.identity(), message.origin.source.incarnation);
        incarnation == identity.incarnation
            || Fork::shared_up_to(&identity.forks, incarnation).is_some_and(|shared| message.position <= shared)
    }
}

fn passed_over(partition: &TopicPartition, offset: Offset, error: &EnvelopeError) {
    tracing::error!(%partition, %offset, %error, "a record on our topic is no message: passed over");
}
