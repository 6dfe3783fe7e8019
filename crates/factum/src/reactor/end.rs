//! How a reactor ends before it is told to, and what it mends by itself.

use crate::{
    runtime::Ending,
    store::{Position, ProgressError, StoreError},
};

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
    Store(#[from] StoreError),
    /// The event store refuses the progress.
    #[error(transparent)]
    Progress(#[from] ProgressError),
}

/// What goes wrong within the loop.
pub(super) type Trouble = crate::runtime::Trouble<ReactorEnd>;

impl Ending for ReactorEnd {
    const STOOD_DOWN: Self = Self::StoodDown;
}
