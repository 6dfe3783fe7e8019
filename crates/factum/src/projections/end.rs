//! How the loop of a projection of its own store ends before it is told to, and what it mends by itself.

use crate::{read::ReadError, runtime::Ending, store::StoreError};

/// Why a projection's loop ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionEnd {
    /// Another owner took over: it may be taken back by starting again.
    #[error("another owner took over")]
    StoodDown,
    /// The checkpoint means nothing in this store.
    #[error("{0}")]
    Foreign(String),
    /// The read store is damaged.
    #[error(transparent)]
    ReadStore(#[from] ReadError),
}

/// What goes wrong within the loop.
pub(super) type Trouble = crate::runtime::Trouble<ProjectionEnd>;

impl Ending for ProjectionEnd {
    const STOOD_DOWN: Self = Self::StoodDown;
}

/// Even of a damaged event store: what was read from it before still answers.
impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}
