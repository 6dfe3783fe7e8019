//! Generations: a read model built anew beside the one that answers.

use std::{fmt, sync::Arc};

#[cfg(doc)]
use super::RESERVED_TABLES;
use super::{Checkpoint, Epoch, Key, Lane, ReadError, ReadStore};
use crate::model::ProjectionKey;

/// How many generations that answered before are kept at most, to answer again: a switch retires those before.
pub const GENERATIONS_KEPT_MAX: usize = 1;

/// Which of the sets of tables of one version of a projection: each rebuild gets a new number, never one that was
/// there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u32);

impl Generation {
    /// The one that a version of a projection begins with.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a generation is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It answers queries: exactly one of each version of a projection.
    Live,
    /// It answered once, and is fed so that it can again.
    Kept,
    /// It is being filled, to answer when it is whole and equals the one that answers.
    Filling,
    /// It is being filled, to answer when it is whole, whether or not it equals the one that answers.
    Replacing,
    /// It is filled to be compared with the one that answers, and discarded then.
    Checking,
    /// It is there for nothing any more, and being discarded.
    Retired,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [Self::Live, Self::Kept, Self::Filling, Self::Replacing, Self::Checking, Self::Retired];

    /// The role as a word, as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Kept => "kept",
            Self::Filling => "filling",
            Self::Replacing => "replacing",
            Self::Checking => "checking",
            Self::Retired => "retired",
        }
    }

    /// The role of a word.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// A generation that is stored; perhaps of a projection or a version that no code is left of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredModel {
    /// The projection's name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Which generation.
    pub generation: Generation,
    /// What it is there for.
    pub role: Role,
}

impl StoredModel {
    /// Whether it belongs to this version of this projection.
    pub fn is_of(&self, projection: ProjectionKey) -> bool {
        self.name == projection.name && self.version == projection.version
    }
}

impl fmt::Display for StoredModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, generation, role } = self;
        write!(f, "{name}@{version} generation {generation} ({})", role.as_str())
    }
}

/// A generation, and the epoch that whoever names it has claimed it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which generation.
    pub generation: Generation,
    /// The epoch.
    pub epoch: Epoch,
}

/// A read store that can hold several generations of a read model, of which one answers.
///
/// [`ReadStore`]'s own methods concern the live generation; [`Generations::view`] gives the others. Which one is live
/// is part of every snapshot, so that a switch is seen whole or not at all.
pub trait Generations: Send + Sync {
    /// Everything that is stored, discarded generations not counted.
    ///
    /// # Errors
    /// The read store failed.
    fn models(&self) -> Result<Vec<StoredModel>, ReadError>;

    /// Begins a generation, empty and under a number that was never used before.
    ///
    /// # Errors
    /// The read store failed, or `role` is [`Role::Live`]: a generation becomes live by a switch.
    fn begin(&self, projection: ProjectionKey, role: Role) -> Result<Generation, ReadError>;

    /// Says what a generation that does not answer is there for from now on.
    ///
    /// # Errors
    /// [`ReadError::Broken`] where it is not there, or where it or `role` is [`Role::Live`]: a generation becomes live,
    /// and ceases to be so, by a switch; or the read store failed. Nothing was changed then.
    fn set_role(&self, projection: ProjectionKey, generation: Generation, role: Role) -> Result<(), ReadError>;

    /// Makes `to` the live generation instead of `from`, which is kept; what was kept until now is retired (at most
    /// [`GENERATIONS_KEPT_MAX`] are kept). In one transaction, and only while both epochs are in force: nobody has written
    /// to either since whoever asks compared them.
    ///
    /// # Errors
    /// [`ReadError::Fenced`]; [`ReadError::Broken`] where `from` is not live or `to` is not there; or the read store
    /// failed. Nothing was changed then.
    fn switch(&self, projection: ProjectionKey, from: Claimed, to: Claimed) -> Result<(), ReadError>;

    /// Drops a generation with its tables and checkpoints, whichever role it has; its epochs stay in force, so that
    /// who still feeds it is fenced. Of a version whose live generation is dropped nothing may be left to ask it.
    ///
    /// # Errors
    /// The read store failed: nothing was changed then, or it is [`Role::Retired`], with a part of its documents left. A
    /// generation that is not there is no error.
    fn discard(&self, model: &StoredModel) -> Result<(), ReadError>;

    /// The same store, where claims, checkpoints, writes and reads of this projection concern this generation.
    fn view(&self, projection: ProjectionKey, generation: Generation) -> Arc<dyn ReadStore>;

    /// Runs `work` on one consistent snapshot of all generations, for as long as it takes. Never waits for a writer, and
    /// neither writers nor queries wait for it.
    ///
    /// # Errors
    /// What `work` said, or the read store failed; so it may when the snapshot has grown too old to be held any longer.
    fn inspect(&self, work: &mut dyn FnMut(&mut dyn Inspection) -> Result<(), ReadError>) -> Result<(), ReadError>;
}

/// A consistent view of whole generations, for comparing them.
pub trait Inspection {
    /// All checkpoints of a generation.
    ///
    /// # Errors
    /// The read store failed, or a checkpoint is unreadable.
    fn checkpoints(
        &mut self,
        projection: ProjectionKey,
        generation: Generation,
    ) -> Result<Vec<(Lane, Checkpoint)>, ReadError>;

    /// The names of a generation's tables, in order, without those that begin with [`RESERVED_TABLES`]: what is parked is
    /// no part of a read model. A table nothing was ever written to may be left out.
    ///
    /// # Errors
    /// The read store failed.
    fn tables(&mut self, projection: ProjectionKey, generation: Generation) -> Result<Vec<String>, ReadError>;

    /// The documents of a table after a key, in the order of their keys; at most `limit`, and never more than
    /// [`SCAN_ROWS_MAX`](super::SCAN_ROWS_MAX).
    ///
    /// # Errors
    /// The read store failed.
    fn rows(
        &mut self,
        projection: ProjectionKey,
        generation: Generation,
        table: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, ReadError>;
}
