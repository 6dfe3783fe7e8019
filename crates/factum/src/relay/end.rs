//! How a relay ends before it is told to, and what it mends by itself.

use crate::{
    bus::{BusError, TopicPartition},
    model::{DecodeError, Incarnation, StoreId},
    runtime::Ending,
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
    Halted(RelayHalt),
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
    /// A partition ends with records that are no messages, more than are passed over.
    #[error("{partition} ends with {records} records or more that are no messages: who else writes there?")]
    NoMessages {
        /// Where they are.
        partition: TopicPartition,
        /// How many were looked at.
        records: usize,
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
    Bus(#[from] BusError),
    /// The event store is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event store refuses the checkpoint.
    #[error(transparent)]
    Progress(#[from] ProgressError),
}

/// What goes wrong within the loop.
pub(super) type Trouble = crate::runtime::Trouble<RelayEnd>;

impl Ending for RelayEnd {
    const STOOD_DOWN: Self = Self::StoodDown;
}

impl<H: Into<RelayHalt>> From<H> for RelayEnd {
    fn from(halt: H) -> Self {
        Self::Halted(halt.into())
    }
}

impl From<RelayHalt> for Trouble {
    fn from(halt: RelayHalt) -> Self {
        Self::End(halt.into())
    }
}
