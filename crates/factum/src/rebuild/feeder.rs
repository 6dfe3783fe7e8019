//! The loop that feeds one generation, from whichever source.

use crate::{
    consumer::{ConsumerEnd, ProjectionConsumer},
    projections::{ProjectionEnd, ProjectionRunner},
    read::ReadError,
    runtime::{Ending, Stop},
};

/// Feeds one generation.
pub(super) enum Feeder {
    Topics(ProjectionConsumer),
    OwnStore(ProjectionRunner),
}

/// How feeding ended.
#[derive(Debug)]
pub(super) enum FeedEnd {
    Stopped,
    StoodDown,
    /// What is stored cannot be read.
    Damaged(ReadError),
    /// It must not go on until somebody has looked.
    Halted(String),
}

/// How the loops of a read model end before they are told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelEnd {
    /// Another owner took over: it may be taken back by starting again.
    #[error("another owner took over")]
    StoodDown,
    /// It must not go on until somebody has looked.
    #[error("{0}")]
    Halted(String),
}

impl Ending for ModelEnd {
    const STOOD_DOWN: Self = Self::StoodDown;
}

impl Feeder {
    /// Feeds until told to stop; the batch at hand is finished first.
    pub(super) async fn feed(&self, stop: Stop) -> FeedEnd {
        match self {
            Self::Topics(consumer) => match consumer.feed(stop).await {
                Ok(()) => FeedEnd::Stopped,
                Err(ConsumerEnd::StoodDown) => FeedEnd::StoodDown,
                Err(ConsumerEnd::ReadStore(damage)) => FeedEnd::Damaged(damage),
                Err(end) => FeedEnd::Halted(end.to_string()),
            },
            Self::OwnStore(runner) => match runner.feed(stop).await {
                Ok(()) => FeedEnd::Stopped,
                Err(ProjectionEnd::StoodDown) => FeedEnd::StoodDown,
                Err(ProjectionEnd::ReadStore(damage)) => FeedEnd::Damaged(damage),
                Err(ProjectionEnd::Foreign(reason)) => FeedEnd::Halted(reason),
            },
        }
    }
}
