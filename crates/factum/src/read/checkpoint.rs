//! How far a projection is, per lane.

use std::{fmt, sync::Arc};

use factum_engine::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::{EventId, Incarnation, Source};

/// A number that fences the previous owner of a projection or relay: each claim raises it, and every progress write
/// names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// What one checkpoint counts: the service's own store, or one (source, topic, partition) of the bus. Opaque text;
/// at most [`Lane::BYTES_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lane(Arc<str>);

impl Lane {
    /// The longest lane, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// The service's own store. The incarnation is in the checkpoint, so that a fork is noticed.
    pub fn own_store() -> Self {
        Self("own".into())
    }

    /// Beside [`Lane::own_store`]: the position from which on the read models are whole. Until then they are being
    /// refilled.
    pub fn whole_from() -> Self {
        Self("own/whole-from".into())
    }

    /// Beside the lanes of topics: 0 while the read models are being refilled, 1 once they are whole.
    pub fn refilled() -> Self {
        Self("topic/refilled".into())
    }

    /// Messages of one source on one partition of a topic.
    pub fn topic(source: &Source, topic: &str, partition: u32) -> Self {
        Self(format!("topic/{topic}/{partition}/{}/{}", source.store, source.incarnation).into())
    }

    /// The source, the topic and the partition of a [`Lane::topic`]; `None` for any other.
    pub fn as_topic(&self) -> Option<(Source, &str, u32)> {
        let mut parts = self.0.strip_prefix("topic/")?.rsplitn(4, '/');
        let incarnation = parts.next()?.parse().ok()?;
        let store = parts.next()?.parse().ok()?;
        let partition = parts.next()?.parse().ok()?;
        Some((Source { store, incarnation }, parts.next()?, partition))
    }

    /// Where reading of one partition of a topic resumes: a place, no proof.
    pub fn offset(topic: &str, partition: u32) -> Self {
        Self(format!("offset/{topic}/{partition}").into())
    }

    /// The topic and the partition that it is about, where it is about one.
    pub(crate) fn of_topic(&self) -> Option<(&str, u32)> {
        let mut parts = self.0.strip_prefix("topic/").or_else(|| self.0.strip_prefix("offset/"))?.split('/');
        Some((parts.next()?, parts.next()?.parse().ok()?))
    }

    /// Of [`Lane::topic`]: whose messages it counts.
    pub(crate) fn source(&self) -> Option<Source> {
        let mut parts = self.0.strip_prefix("topic/")?.split('/').skip(2);
        Some(Source { store: parts.next()?.parse().ok()?, incarnation: parts.next()?.parse().ok()? })
    }

    /// Whether it counts, one by one, what is read: the events of the own store, or the records of a partition.
    pub(crate) fn is_place(&self) -> bool {
        *self.0 == *"own" || self.0.starts_with("offset/")
    }

    /// Whether a checkpoint on this lane is a watermark in force: neither a place to resume reading, nor one of a
    /// history that was replaced since.
    pub(crate) fn is_proof(&self, at: &Checkpoint) -> bool {
        *self == Self::own_store() || self.source().is_some_and(|source| source.incarnation == at.incarnation)
    }

    /// A lane by its stored text.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The lane as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a projection is on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Own store and topic lanes: the last position considered (the watermark). Offset lanes: the next offset to
    /// read.
    #[serde(with = "position_as_number")]
    pub position: Position,
    /// The history in which `position` means something.
    pub incarnation: Incarnation,
    /// The event at `position`, where one is there: another id at the same position is damage.
    pub event_id: Option<EventId>,
}

impl Checkpoint {
    /// Of what belongs to no history of a store: an offset belongs to its topic.
    pub(crate) const fn of_no_history(position: Position) -> Self {
        Self { position, incarnation: Incarnation::from_uuid(Uuid::nil()), event_id: None }
    }
}

/// One compare-and-set of a checkpoint, in the transaction of the effects it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointMove {
    /// Which lane moves.
    pub lane: Lane,
    /// What must be stored now; `None`: nothing yet.
    pub previous: Option<Checkpoint>,
    /// What is stored then.
    pub next: Checkpoint,
}

mod position_as_number {
    use factum_engine::Position;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(position.get())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Position, D::Error> {
        u64::deserialize(deserializer).map(Position::new)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::StoreId;

    #[test]
    fn a_topics_lane_is_read_back_and_no_other() {
        let source = Source {
            store: StoreId::from_uuid(Uuid::from_u128(1)),
            incarnation: Incarnation::from_uuid(Uuid::from_u128(2)),
        };
        for topic in ["bank.accounts.account.events", "a/b"] {
            assert_eq!(Lane::topic(&source, topic, 11).as_topic(), Some((source, topic, 11)));
        }
        for lane in [Lane::own_store(), Lane::whole_from(), Lane::refilled(), Lane::offset("a", 1)] {
            assert_eq!(lane.as_topic(), None, "{lane:?}");
        }
    }
}
