//! What a read database must be able to do.

use std::{error::Error, fmt};

use super::{Checkpoint, CheckpointMove, Epoch, Generations, Key, KeyRange, Lane};
use crate::model::ProjectionKey;

/// The largest document, in bytes of JSON.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// The most rows one scan returns, whatever was asked for.
pub const SCAN_ROWS_MAX: usize = 10_000;

/// A table of one version of one projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Whose table it is.
    pub projection: ProjectionKey,
    /// Its name within the projection: lower case letters, digits and `_`.
    pub table: &'static str,
}

impl TableName {
    /// A number for this name, the same in every build (FNV-1a, 64 bits).
    pub(crate) fn tag(self) -> u64 {
        let Self { projection, table } = self;
        let version = projection.version.to_be_bytes();
        let parts = [projection.name.as_bytes(), &[0], &version, table.as_bytes()];
        parts
            .into_iter()
            .flatten()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.projection, self.table)
    }
}

/// What the read side can fail with.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database cannot be reached or refuses to work now: try again later.
    #[error("the read store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Another owner has claimed the projection: stand down.
    #[error("projection {projection} was claimed by another owner: epoch {epoch} is fenced by {current}")]
    Fenced {
        /// The projection as text.
        projection: String,
        /// The epoch this write named.
        epoch: u64,
        /// The epoch in force.
        current: u64,
    },
    /// The checkpoint is not where the writer believed: nothing was written.
    #[error("the checkpoint of {projection} on lane {lane} is not where it was left: read it again")]
    Moved {
        /// The projection as text.
        projection: String,
        /// Which lane.
        lane: String,
    },
    /// A stored document or checkpoint cannot be read: the read database is damaged, or was filled by another build.
    /// Delete it; it is restored from its sources.
    #[error("the read store holds something unreadable in {place}: {source}")]
    Damaged {
        /// Table or checkpoint.
        place: String,
        /// Why it cannot be read.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An event and the read model contradict each other.
    #[error("{0}")]
    Broken(String),
    /// A document or key over its limit.
    #[error("{what} has {actual} bytes, the limit is {limit}")]
    TooLarge {
        /// `document` or `key`.
        what: &'static str,
        /// Its size in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl ReadError {
    /// Whether it is about the store and has nothing to do with what was to be written: trying again, standing down,
    /// or beginning the store anew may help.
    pub const fn is_the_stores(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Fenced { .. } | Self::Moved { .. } | Self::Damaged { .. })
    }
}

/// A consistent view of the read models.
pub trait ReadSnapshot {
    /// The document under a key.
    ///
    /// # Errors
    /// The read store failed.
    fn get(&mut self, table: TableName, key: &Key) -> Result<Option<Vec<u8>>, ReadError>;

    /// Documents in a range in order of their keys; at most `limit`, and never more than [`SCAN_ROWS_MAX`].
    ///
    /// # Errors
    /// The read store failed.
    fn scan(&mut self, table: TableName, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, ReadError>;
}

/// A snapshot that can also be written to. Writes are seen by later reads of the same transaction.
pub trait ReadTransaction: ReadSnapshot {
    /// Writes a document (JSON text), replacing what was there.
    ///
    /// # Errors
    /// Document or key over its limit, or the read store failed.
    fn put(&mut self, table: TableName, key: &Key, document: Vec<u8>) -> Result<(), ReadError>;

    /// Deletes a document, if it is there.
    ///
    /// # Errors
    /// The read store failed.
    fn delete(&mut self, table: TableName, key: &Key) -> Result<(), ReadError>;
}

/// A read database. Everything in it is derived and may be deleted at any time.
pub trait ReadStore: Send + Sync {
    /// Takes over a projection: raises its epoch, which fences the previous owner.
    ///
    /// # Errors
    /// The read store failed.
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError>;

    /// All checkpoints of a projection.
    ///
    /// # Errors
    /// The read store failed, or a checkpoint is unreadable.
    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError>;

    /// Runs `work` in one transaction, then moves the checkpoints by compare-and-set on the owner's epoch and their
    /// previous values, then commits. All of it happens, or nothing.
    ///
    /// # Errors
    /// What `work` said; [`ReadError::Fenced`] or [`ReadError::Moved`]; or the read store failed. Nothing was written
    /// then.
    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError>;

    /// Runs `work` on one consistent snapshot. Never waits for a writer.
    ///
    /// # Errors
    /// What `work` said, or the read store failed.
    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError>;

    /// As [`ReadStore::read`], when it can begin at once, without waiting for anybody; `false`: it did nothing. For
    /// callers that must not wait, and try the other one then where they may.
    ///
    /// # Errors
    /// As [`ReadStore::read`].
    fn try_read(
        &self,
        work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>,
    ) -> Result<bool, ReadError> {
        let _ = work;
        Ok(false)
    }

    /// How often the database was begun anew in place of a damaged one since it was opened: what was learned from it
    /// in another life, epochs above all, means nothing.
    fn life(&self) -> u64 {
        0
    }

    /// Whether [`ReadStore::start_over`] can be expected to do so.
    fn can_start_over(&self) -> bool {
        false
    }

    /// Puts a damaged database aside and begins an empty one in its place, unless that was done since `life`. Whoever
    /// holds a snapshot is waited for, bounded.
    ///
    /// # Errors
    /// It cannot do that by itself, has done it too often already, or the place cannot be written to now.
    fn start_over(&self, life: u64, damage: &ReadError) -> Result<(), ReadError> {
        let _ = life;
        Err(ReadError::Broken(format!("{damage}: delete the read database while the service is stopped")))
    }

    /// The same store as one that holds several generations of a read model, where it can.
    fn generations(&self) -> Option<&dyn Generations> {
        None
    }

    /// Puts away what is open, when its service has stopped. Nothing committed depends on it. Idempotent.
    ///
    /// # Errors
    /// The read store failed: everything is there all the same when it is opened again.
    fn close(&self) -> Result<(), ReadError> {
        Ok(())
    }
}
