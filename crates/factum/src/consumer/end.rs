//! How a consumer ends before it is told to, what stops one of its partitions, and what it mends by itself.

use crate::{
    bus::{BusError, Envelope, EnvelopeError},
    model::{EventId, Incarnation, Source},
    read::ReadError,
    runtime::Ending,
    store::{History, Position, ProgressError, StoreError},
};

/// Why a consumer ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerEnd {
    /// Another consumer claimed the projection: starting this one again takes it back.
    #[error("another consumer took over")]
    StoodDown,
    /// The read store is damaged.
    #[error(transparent)]
    ReadStore(#[from] ReadError),
    /// The event store is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event store refuses the progress.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The bus said no for good.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Why a partition stands still. It is tried again with growing waits; nothing is skipped.
#[derive(Debug, thiserror::Error)]
pub enum PartitionStop {
    /// The record is no message.
    #[error("the record is no message: {0}")]
    NoMessage(#[from] EnvelopeError),
    /// The message is to be parked, and there is no room for it.
    #[error("message {position} ({name}) cannot be parked: {reason}")]
    Quarantine {
        /// The message's position in its source.
        position: Position,
        /// The message's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// What the message asks for cannot be done.
    #[error("message {position} ({name}): {reason}")]
    Effect {
        /// The message's position in its source.
        position: Position,
        /// The message's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The record is no message, and cannot be dealt with as one that is none.
    #[error("{0}")]
    Unreadable(String),
    /// The source was restored to before what was applied here.
    #[error("source forked at {fork}, you are at {watermark}")]
    ForkedBelow {
        /// The last position the histories share.
        fork: Position,
        /// The last position applied here.
        watermark: Position,
        /// The source in whose history that was.
        left: Source,
        /// The history it goes on with.
        history: History,
    },
    /// The message's history does not descend from the one applied here, and nothing on the partition tells that this one
    /// came out of it. Looked for again each time that the partition is tried.
    #[error("the source goes on in history {}, which does not descend from {applied}", found.incarnation)]
    ForeignHistory {
        /// The message's source and history.
        found: Source,
        /// The history applied here.
        applied: Incarnation,
    },
    /// Another event stands at a position that was applied.
    #[error("event {found} stands at position {position}, where {applied} was applied")]
    OtherEvent {
        /// The position.
        position: Position,
        /// The event now.
        found: EventId,
        /// The event applied.
        applied: EventId,
    },
}

impl PartitionStop {
    pub(super) fn quarantine(message: &Envelope, reason: String) -> Self {
        Self::Quarantine { position: message.position, name: message.name.clone(), reason }
    }

    pub(super) fn effect(message: &Envelope, reason: String) -> Self {
        Self::Effect { position: message.position, name: message.name.clone(), reason }
    }

    /// What helps; `left`: where the source has left the history followed so far.
    pub(super) fn remedy<'a>(&self, left: &'a str) -> Option<&'a str> {
        match self {
            Self::ForkedBelow { .. } | Self::ForeignHistory { .. } | Self::OtherEvent { .. } => Some(left),
            Self::NoMessage(_) | Self::Unreadable(_) => {
                Some("nothing passes it: publish without it on a new topic, or deploy a build that reads it")
            }
            Self::Quarantine { .. } => Some("decide about what is parked"),
            Self::Effect { .. } => None,
        }
    }
}

/// What goes wrong within the loop.
pub(super) type Trouble = crate::runtime::Trouble<ConsumerEnd>;

impl Ending for ConsumerEnd {
    const STOOD_DOWN: Self = Self::StoodDown;
}
