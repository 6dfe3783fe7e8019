//! What an event store can fail with, and what its caller can do about it.

use std::error::Error;

use factum_engine::{ExpectedVersion, InvalidName, InvalidSelection, Position, StreamName, Version};

use crate::model::CommandId;

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream is not at the expected version: load it again and decide again.
    #[error("stream {stream}: expected {expected}, it is at version {actual}")]
    Conflict {
        /// Which stream.
        stream: StreamName,
        /// What the append expected.
        expected: ExpectedVersion,
        /// Where the stream is.
        actual: Version,
    },
    /// Something happened that the decision did not know: read the boundary's selection again and decide again.
    #[error("event {found}, behind the boundary at {after}, matches clause {clause} of its selection")]
    BoundaryCrossed {
        /// The first clause that the event found matches, counted from 0.
        clause: usize,
        /// Up to where the selection had been read.
        after: Position,
        /// The earliest event behind it that matches.
        found: Position,
    },
    /// Nobody can have read that far in this history: the boundary is of another store, or from before a restore.
    #[error("the boundary at {after} is beyond the head {head}: it is not of this store's history")]
    BoundaryBeyondHead {
        /// Up to where the selection is said to have been read.
        after: Position,
        /// The last event there is.
        head: Position,
    },
    /// The command id was used for another request: take a new one.
    #[error("command id {0} was used before for another request")]
    CommandIdReused(CommandId),
    /// Over a limit, or not well-formed: mend the request.
    #[error("the append is refused: {0}")]
    Refused(String),
    /// A name breaks its rules.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// The store cannot append now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What reading or writing can fail with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not now: the queue is full, the connection is gone. Try again later. Whether an append under
    /// way happened, [`EventStore::command`](super::EventStore::command) tells.
    #[error("the event store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// There is no space: nothing was written. Appends go on by themselves once there is some.
    #[error("the disk of the event store is full: make space, nothing needs a restart")]
    Full,
    /// A write or sync failed in a way after which nothing may be acknowledged: restart the service.
    #[error("the event store is read-only since a write failed, restart the service: {0}")]
    ReadOnly(#[source] Box<dyn Error + Send + Sync>),
    /// What is stored contradicts its checksums: restore from a backup.
    #[error("the event store is damaged: {0}")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// What was asked for breaks a limit or a rule of selections: mend it.
    #[error(transparent)]
    InvalidSelection(#[from] InvalidSelection),
    /// The store was closed.
    #[error("the event store is closed")]
    Closed,
}

/// Why progress did not move.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// Another owner has claimed it: stand down.
    #[error("progress `{name}` was claimed by another owner: epoch {epoch} is fenced by {current}")]
    Fenced {
        /// Which progress.
        name: String,
        /// The epoch this call named.
        epoch: u64,
        /// The epoch in force.
        current: u64,
    },
    /// The value is not what the caller believed: read it again.
    #[error("progress `{0}` is not where it was left: read it again")]
    Moved(String),
    /// Name or value over its limit.
    #[error("progress is refused: {0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
