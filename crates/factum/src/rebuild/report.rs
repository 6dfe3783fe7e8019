//! What read models show of themselves.

use super::Checksum;
use crate::{
    model::ProjectionKey,
    projections::Progress,
    read::{Generation, Role},
};

/// What can be done with a read model while it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Fill a new generation from the beginning; when its documents equal those of the live one at the same place, it
    /// takes its place. When they do not, the live one stays, and the new one waits for [`Operation::Replace`] or
    /// [`Operation::Discard`].
    Rebuild,
    /// As a rebuild, without comparing: for a live one that is known to be wrong or cannot go on. One that is behind the
    /// live one anywhere does not take its place either.
    Replace,
    /// Fill a generation from the beginning, compare, and discard it.
    Verify,
    /// Let the generation that answered before answer again: it was fed all the while.
    RollBack,
    /// Give up what is under way, and discard every generation and version that does not answer.
    Discard,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 5] = [Self::Rebuild, Self::Replace, Self::Verify, Self::RollBack, Self::Discard];

    /// The operation as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild",
            Self::Replace => "replace",
            Self::Verify => "verify",
            Self::RollBack => "roll-back",
            Self::Discard => "discard",
        }
    }
}

/// What an operation is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// None is under way.
    #[default]
    Idle,
    /// It is asked for, and begins.
    Beginning,
    /// A generation is being filled from its sources.
    Filling,
    /// It waits until two generations stand at the same place.
    Aligning,
    /// Documents are being compared.
    Comparing,
    /// Another generation takes the place of the live one.
    Switching,
    /// Tables are being dropped.
    Discarding,
}

impl Step {
    /// The step as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Beginning => "beginning",
            Self::Filling => "filling",
            Self::Aligning => "aligning",
            Self::Comparing => "comparing",
            Self::Switching => "switching",
            Self::Discarding => "discarding",
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which one.
    pub operation: Operation,
    /// What it came to, or why it did not.
    pub result: Result<String, String>,
    /// Of the documents it compared or switched to.
    pub checksum: Option<Checksum>,
}

/// A generation of a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationReport {
    /// Its number.
    pub generation: Generation,
    /// What it is there for.
    pub role: Role,
    /// Of one that is kept: what stands in its way, such as why it is no longer fed and cannot answer again.
    pub trouble: Option<String>,
    /// Of one that is fed beside the one that answers: how much of the time that takes at present, at most, in percent.
    pub share_percent: Option<u32>,
}

/// How a read model is.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelReport {
    /// Whose it is.
    pub projection: ProjectionKey,
    /// The generations that are there, as last seen; empty until the first look.
    pub generations: Vec<GenerationReport>,
    /// What is under way.
    pub operation: Option<Operation>,
    /// What it is doing.
    pub step: Step,
    /// How far the filling is: of a new generation, or of the live one where that is being refilled.
    pub progress: Option<Progress>,
    /// What stands in the way, as the generation that is being filled tells it, or the live one where none is: something
    /// parked, a partition that stands still. It goes on trying.
    pub trouble: Option<String>,
    /// How the last operation of this process ended.
    pub last: Option<Done>,
}

/// Why nothing was begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No projection has this name here.
    #[error("no projection is called `{0}` here")]
    Unknown(String),
    /// The read store holds one generation only.
    #[error("the read store of {0} cannot hold two generations: delete its database while the service is stopped")]
    Unsupported(ProjectionKey),
    /// Another operation is under way.
    #[error("{projection} is busy with {operation}: wait for its end, or discard it", operation = .operation.as_str())]
    Busy {
        /// Whose read model.
        projection: ProjectionKey,
        /// What is under way.
        operation: Operation,
    },
}
