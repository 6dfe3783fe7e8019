//! How a consumer ends before it is told to, what stops one of its partitions, and what it mends by itself.

use crate::{
    bus::{BusError, EnvelopeError},
    model::{EventId, Incarnation},
    read::ReadError,
    runtime::TaskFailure,
    store::{Position, ProgressError, StoreError},
};

/// Why a consumer ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerEnd {
    /// Another consumer claimed the projection: starting this one again takes it back.
    #[error("another consumer took over")]
    StoodDown,
    /// The read store is damaged.
    #[error(transparent)]
    ReadStore(ReadError),
    /// The event store is damaged.
    #[error(transparent)]
    Store(StoreError),
    /// The event store refuses the progress.
    #[error(transparent)]
    Progress(ProgressError),
    /// The bus said no for good.
    #[error(transparent)]
    Bus(BusError),
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
    },
    /// The source's present history does not descend from the one applied here.
    #[error("the source goes on in history {found}, which does not descend from {applied}")]
    ForeignHistory {
        /// The message's history.
        found: Incarnation,
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
    /// Whether what was done here belongs to a history that its source has left.
    pub(super) const fn is_of_another_history(&self) -> bool {
        matches!(self, Self::ForkedBelow { .. } | Self::ForeignHistory { .. } | Self::OtherEvent { .. })
    }
}

/// What goes wrong within the loop.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    End(#[from] ConsumerEnd),
    #[error(transparent)]
    Bus(BusError),
    #[error(transparent)]
    Read(ReadError),
    #[error(transparent)]
    Store(StoreError),
    #[error(transparent)]
    Progress(ProgressError),
    #[error("partitions were taken away")]
    Revoked,
    #[error("writing to the read store: {0}")]
    Task(#[from] TaskFailure),
}

impl From<BusError> for Trouble {
    fn from(error: BusError) -> Self {
        if error.is_transient() { Self::Bus(error) } else { ConsumerEnd::Bus(error).into() }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(_) => ConsumerEnd::Store(error).into(),
            other => Self::Store(other),
        }
    }
}

impl From<ProgressError> for Trouble {
    fn from(error: ProgressError) -> Self {
        match error {
            ProgressError::Fenced { .. } => ConsumerEnd::StoodDown.into(),
            ProgressError::Store(error) => error.into(),
            // Written after all, although the answer was an error: read it again.
            ProgressError::Moved(_) => Self::Progress(error),
            ProgressError::Refused(_) => ConsumerEnd::Progress(error).into(),
        }
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fenced { .. } => ConsumerEnd::StoodDown.into(),
            ReadError::Damaged { .. } => ConsumerEnd::ReadStore(error).into(),
            other => Self::Read(other),
        }
    }
}
