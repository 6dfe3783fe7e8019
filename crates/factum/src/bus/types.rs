//! The values that go onto a bus and come off it.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{BusError, Headers};
use crate::model::Timestamp;

/// The longest topic name, in bytes. Its relay's progress bears it as well.
pub const TOPIC_BYTES_MAX: usize = 190;
/// The most partitions of one topic.
pub const PARTITIONS_MAX: u32 = 1_000;

/// A topic by name, with its number of partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// `<system>.<service>.<aggregate>.events`.
    pub name: Arc<str>,
    /// The number of partitions, for ever.
    pub partitions: u32,
}

impl TopicSpec {
    /// A topic; 1 to [`TOPIC_BYTES_MAX`] bytes of letters, digits, `.` and `_`, and 1 to [`PARTITIONS_MAX`] partitions.
    ///
    /// # Errors
    /// [`BusError::InvalidTopic`].
    pub fn new(name: &str, partitions: u32) -> Result<Self, BusError> {
        let sized = !name.is_empty() && name.len() <= TOPIC_BYTES_MAX;
        let spelled = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
        if !sized || !spelled || partitions == 0 || partitions > PARTITIONS_MAX {
            return Err(BusError::InvalidTopic { topic: name.into(), partitions });
        }
        Ok(Self { name: name.into(), partitions })
    }
}

/// One partition of a topic. Shown as `topic/3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The place of a record in its partition. Ascending; the first one is the bus's choice (Kafka: 0, the local bus: 1).
/// A place to resume reading, proof of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// Wraps a number.
    pub const fn new(offset: u64) -> Self {
        Self(offset)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record before the bus has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// What is kept in order with what: the stream.
    pub key: Bytes,
    /// What the value is.
    pub headers: Headers,
    /// The document.
    pub value: Bytes,
    /// When it was made.
    pub timestamp: Timestamp,
}

impl NewRecord {
    /// Its size in bytes: key, headers and value.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.headers.bytes() + self.value.len()
    }
}

/// A record on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: Offset,
    /// What is kept in order with what: the stream.
    pub key: Bytes,
    /// What the value is.
    pub headers: Headers,
    /// The document.
    pub value: Bytes,
    /// When it was made.
    pub timestamp: Timestamp,
}

/// Who reads what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// The group's name; members of one group divide the partitions among themselves.
    pub group: String,
    /// Which topics. A topic that is not there yet is assigned once it is.
    pub topics: Vec<Arc<str>>,
    /// How partitions are assigned.
    pub assignment: Assignment,
}

/// How a consumer comes by its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// Divided among the members of the group.
    Group,
    /// Every partition of the topics, whatever other consumers read: for replicas with a read database each.
    Everything,
    /// Exactly these, whatever other consumers read: for single instances and tests. Their topics must exist.
    Static(Vec<TopicPartition>),
}

/// What happens to a consumer.
#[derive(Debug)]
pub enum BusEvent {
    /// These partitions are this consumer's now. Each delivers nothing before [`seek`](super::Consumer::seek) gave
    /// it a position.
    Assigned(Vec<TopicPartition>),
    /// Records of one partition, in order of offset; never empty.
    Records(TopicPartition, Vec<Record>),
    /// These partitions are to be given up: finish or abort what is under way, then drop the [`Revocation`].
    Revoked(Vec<TopicPartition>, Revocation),
}

/// Holds revoked partitions back from their next owner until it is dropped.
pub struct Revocation {
    lost: bool,
    release: Option<Box<dyn FnOnce() + Send>>,
}

impl Revocation {
    /// A revocation that runs `release` when it is dropped. `lost`: the partitions are gone already.
    pub fn new(lost: bool, release: impl FnOnce() + Send + 'static) -> Self {
        Self { lost, release: Some(Box::new(release)) }
    }

    /// The partitions are gone already (their topic was deleted, the group has moved on): whatever is under way must
    /// be fenced by its epoch, not by waiting.
    pub const fn lost(&self) -> bool {
        self.lost
    }
}

impl Drop for Revocation {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revocation(lost: {})", self.lost)
    }
}
