//! What a bus can fail with, and what its caller can do about it.

use std::{error::Error, sync::Arc};

use super::{Offset, TopicPartition};

/// Why the bus did not do it.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Not now: try again later. A record under way may or may not have arrived.
    #[error("the bus is unavailable: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The topic, or this partition of it, is not there: whoever publishes makes it.
    #[error("topic {0} does not exist")]
    UnknownTopic(Arc<str>),
    /// Nothing is at this place any more, or nothing ever was: the beginning was cut, records were lost, or the topic
    /// was made anew. The partition delivers nothing until it is given another position.
    #[error("{partition} has nothing at offset {offset}, it begins at {earliest}")]
    OffsetOutOfRange {
        /// Which partition.
        partition: TopicPartition,
        /// The position it was given.
        offset: Offset,
        /// Where it begins now.
        earliest: Offset,
    },
    /// A record over the limit; nothing of the call was sent.
    #[error("a record of {bytes} bytes for {partition} is over the limit of {limit}")]
    TooLarge {
        /// Where it was to go.
        partition: TopicPartition,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The topic exists with another number of partitions: keys would change their partition. Use a new topic name.
    #[error("topic {topic} has {actual} partitions, the contract says {expected}")]
    WrongPartitionCount {
        /// Which topic.
        topic: Arc<str>,
        /// What the contract says.
        expected: u32,
        /// What is there.
        actual: u32,
    },
    /// The topic exists with a setting under which records would be lost or refused: change it on the broker.
    #[error("topic {topic} has {setting} = {actual}, it must be {expected}: change it on the broker")]
    WrongSetting {
        /// Which topic.
        topic: Arc<str>,
        /// The name of the setting.
        setting: &'static str,
        /// What it must be.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// A topic's name or number of partitions breaks the rules of [`TopicSpec::new`](super::TopicSpec::new).
    #[error(
        "`{topic}` with {partitions} partitions is no topic: 1-190 letters, digits, `.` and `_`; 1-1000 partitions"
    )]
    InvalidTopic {
        /// The name.
        topic: Arc<str>,
        /// The number of partitions.
        partitions: u32,
    },
    /// The partition is not assigned to this consumer.
    #[error("{0} is not assigned to this consumer")]
    NotAssigned(TopicPartition),
    /// What is stored contradicts its checksums, or a write failed in a way after which nothing may be acknowledged:
    /// look at the bus's storage and restart.
    #[error("the bus is damaged: {0}")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// The bus was closed.
    #[error("the bus is closed")]
    Closed,
}

impl BusError {
    /// Whether the same call may work later without anybody's help.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::UnknownTopic(_)
                | Self::OffsetOutOfRange { .. }
                | Self::NotAssigned(_)
                | Self::Closed
        )
    }
}
