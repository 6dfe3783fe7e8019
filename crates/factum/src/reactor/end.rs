//! How a reactor ends before it is told to, and what it mends by itself.

use crate::store::{Position, ProgressError, StoreError};

/// Why a reactor ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ReactorEnd {
    /// Another owner took over: starting this one again takes it back.
    #[error("another owner took over")]
    StoodDown,
    /// The event store ends before what was reacted to, in the same history: events were lost without a restore, and
    /// those that come in their places would be taken for them.
    #[error("the store ends at {head}, this reactor is at {position}: events were lost; restore the store from a copy")]
    StoreWentBack {
        /// How far the reactor is.
        position: Position,
        /// Where the store ends.
        head: Position,
    },
    /// The progress is not of this store.
    #[error("the progress of this reactor at {position} is of another history than this store's")]
    Foreign {
        /// How far the reactor is.
        position: Position,
    },
    /// The event store is damaged.
    #[error(transparent)]
    Store(StoreError),
    /// The event store refuses the progress.
    #[error(transparent)]
    Progress(ProgressError),
}

/// What goes wrong within the loop.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    End(#[from] ReactorEnd),
    #[error(transparent)]
    Store(StoreError),
    #[error(transparent)]
    Moved(ProgressError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(_) => ReactorEnd::Store(error).into(),
            other => Self::Store(other),
        }
    }
}

impl From<ProgressError> for Trouble {
    fn from(error: ProgressError) -> Self {
        match error {
            ProgressError::Fenced { .. } => ReactorEnd::StoodDown.into(),
            ProgressError::Store(error) => error.into(),
            // Written after all, although the answer was an error: read it again.
            ProgressError::Moved(_) => Self::Moved(error),
            ProgressError::Refused(_) => ReactorEnd::Progress(error).into(),
        }
    }
}
