//! How a relay ends before it is told to, and what it mends by itself.

use std::sync::Arc;

use crate::{
    bus::{BusError, EnvelopeError, Offset, TopicPartition},
    model::{DecodeError, Incarnation, StoreId},
    store::{Position, ProgressError, StoreError},
};

/// Why a relay ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RelayEnd {
    /// Another relay claimed the topic: starting this one again takes it back.
    #[error("another relay took over")]
    StoodDown,
    /// Going on would lose, skip or mix up messages: an operator is needed.
    #[error(transparent)]
    Halted(#[from] RelayHalt),
}

/// What a relay must not go on after.
#[derive(Debug, thiserror::Error)]
pub enum RelayHalt {
    /// Another store publishes on the topic.
    #[error("{partition} has messages of another store, {found}: a topic has one source; use another topic")]
    ForeignTopic {
        /// Where they are.
        partition: TopicPartition,
        /// The other store.
        found: StoreId,
    },
    /// The topic has messages of a history that this store does not descend from.
    #[error(
        "{partition} has messages of incarnation {found}, which this store does not descend from: \
         an older copy of the store was started; start the newer one"
    )]
    ForeignHistory {
        /// Where they are.
        partition: TopicPartition,
        /// The other history.
        found: Incarnation,
    },
    /// The topic has a record that is no message of ours.
    #[error("{partition} has a record at offset {offset} that is no message: {source}")]
    NoMessage {
        /// Where it is.
        partition: TopicPartition,
        /// Its offset.
        offset: Offset,
        /// Why it is none.
        source: EnvelopeError,
    },
    /// More was published than the store holds: it went back, by a copied folder or lost files.
    #[error("position {published} was published already, the store ends at {head}: it went back; restore it properly")]
    StoreWentBack {
        /// What was published or read before.
        published: Position,
        /// Where the store ends.
        head: Position,
    },
    /// The checkpoint was written for another store, or another event stands at its position.
    #[error("the relay's checkpoint at {position} does not belong to this store's history")]
    ForeignCheckpoint {
        /// Where the checkpoint is.
        position: Position,
    },
    /// The checkpoint cannot be read.
    #[error("the relay's checkpoint cannot be read: {0}")]
    UnreadableCheckpoint(#[source] serde_json::Error),
    /// The event's document cannot be read.
    #[error("event {position} cannot be published: {source}")]
    Undecodable {
        /// The event.
        position: Position,
        /// Why.
        source: DecodeError,
    },
    /// The translation panicked.
    #[error("event {position} cannot be published: its translation panicked: {panic}")]
    Panicked {
        /// The event.
        position: Position,
        /// The panic's message.
        panic: String,
    },
    /// The bus said no for good.
    #[error(transparent)]
    Bus(BusError),
    /// The event store is damaged.
    #[error(transparent)]
    Store(StoreError),
    /// The event store refuses the checkpoint.
    #[error(transparent)]
    Progress(ProgressError),
}

/// What goes wrong within the loop.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    End(#[from] RelayEnd),
    #[error(transparent)]
    Bus(BusError),
    #[error(transparent)]
    Store(StoreError),
    #[error(transparent)]
    Progress(ProgressError),
    #[error("topic {0} lost acknowledged records, or was made anew: checking what it still has")]
    TopicLostRecords(Arc<str>),
}

impl From<RelayHalt> for Trouble {
    fn from(halt: RelayHalt) -> Self {
        Self::End(halt.into())
    }
}

impl From<BusError> for Trouble {
    fn from(error: BusError) -> Self {
        if error.is_transient() { Self::Bus(error) } else { RelayHalt::Bus(error).into() }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(_) => RelayHalt::Store(error).into(),
            other => Self::Store(other),
        }
    }
}

impl From<ProgressError> for Trouble {
    fn from(error: ProgressError) -> Self {
        match error {
            ProgressError::Fenced { .. } => Self::End(RelayEnd::StoodDown),
            ProgressError::Store(error) => error.into(),
            // Written after all, although the answer was an error: read it again.
            ProgressError::Moved(_) => Self::Progress(error),
            ProgressError::Refused(_) => RelayHalt::Progress(error).into(),
        }
    }
}
