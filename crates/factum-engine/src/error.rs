//! Errors, each telling its caller what to do.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::append::ExpectedVersion;
use crate::names::{InvalidName, StreamName};
use crate::numbers::{Position, Version};
use crate::options::InvalidOptions;
use crate::selection::InvalidSelection;

/// Where stored bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment.
    pub segment: u32,
    /// Byte offset in it.
    pub offset: u64,
    /// The first position that cannot be trusted.
    pub position: Position,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { segment, offset, position, what } = self;
        write!(f, "damaged log: {what}, in segment-{segment:08}.log at offset {offset}, position {position}")
    }
}

/// Why a store was not opened. Nothing was changed, but for what [`OpenError::Io`] interrupted.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    Locked,
    /// It was written by a newer version of this program.
    NewerFormat {
        /// Format of the store.
        found: u32,
        /// Newest format this program reads.
        supported: u32,
    },
    /// Acknowledged events are damaged: restore a backup.
    Corrupt(Damage),
    /// A file other than a segment is missing or damaged, so that the store cannot be told from another.
    Identity {
        /// What is wrong.
        what: &'static str,
    },
    /// A restore into the directory was not finished: restore again.
    UnfinishedRestore,
    /// The options are outside their limits.
    Options(InvalidOptions),
    /// There is no space to prepare the store; make some and open again.
    DiskFull,
    /// The disk failed.
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Locked => f.write_str("it is open in another process: stop that one, or name another folder"),
            OpenError::NewerFormat { found, supported } => {
                write!(f, "it has format {found}, this program reads up to {supported}: use the newer program")
            }
            OpenError::Corrupt(damage) => damage.fmt(f),
            OpenError::Identity { what } => {
                write!(f, "the store's identity cannot be trusted: {what}")
            }
            OpenError::UnfinishedRestore => f.write_str("a restore into the directory was not finished: restore again"),
            OpenError::Options(invalid) => write!(f, "invalid options: {invalid}"),
            OpenError::DiskFull => f.write_str("the disk is full: make space, and start again"),
            OpenError::Io(error) => write!(f, "{}: {error}", remedy(error.kind())),
        }
    }
}

/// What to do about a folder that the system does not let a store use.
fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "a file is in the way: name another folder",
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only: make it writable, or name another folder",
        io::ErrorKind::PermissionDenied => "not permitted: let this user write there, or name another folder",
        _ => "the disk failed",
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Io(error) => Some(error),
            OpenError::Options(invalid) => Some(invalid),
            _ => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { OpenError::DiskFull } else { OpenError::Io(error) }
    }
}

/// Why an append was not acknowledged.
///
/// Only [`Poisoned`](Self::Poisoned) and [`Interrupted`](Self::Interrupted) leave open whether the events are
/// there; after every other answer they are not.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AppendError {
    /// A stream is not at the expected version: load again and decide again.
    Conflict {
        /// The first stream of the append whose version differs.
        stream: StreamName,
        /// What the append expected.
        expected: ExpectedVersion,
        /// Where the stream is.
        actual: Version,
    },
    /// Something happened that the decision did not know: read the selection again and decide again.
    BoundaryCrossed {
        /// The first clause of the boundary's selection that the event found matches, counted from 0.
        clause: usize,
        /// Up to where the append had read.
        after: Position,
        /// The earliest event behind it that matches.
        found: Position,
    },
    /// A boundary behind the last event: no decision can have read that far. It comes from another store, or from
    /// before a restore.
    BoundaryBeyondHead {
        /// Up to where the append says it had read.
        after: Position,
        /// The last event, those staged before this append included.
        head: Position,
    },
    /// The boundary's selection breaks a limit or a rule.
    InvalidSelection(InvalidSelection),
    /// The command id was used before, under another fingerprint.
    CommandIdReused {
        /// The id.
        id: [u8; 16],
    },
    /// There is no event in the append.
    Empty,
    /// A stream occurs twice in the append.
    DuplicateStream {
        /// The stream.
        stream: StreamName,
    },
    /// An event's metadata and data are over the limit.
    EventTooLarge {
        /// Their bytes.
        bytes: usize,
        /// [`Options::event_bytes_max`](crate::Options::event_bytes_max).
        limit: usize,
    },
    /// The append has too many events, streams or bytes.
    BatchTooLarge {
        /// What there is too much of: `"events"`, `"streams"` or `"bytes"`.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// An event has more than [`EVENT_TAGS_MAX`](crate::EVENT_TAGS_MAX) tags.
    TooManyTags {
        /// How many it has.
        found: usize,
    },
    /// An event's name breaks the rules for names.
    InvalidEventName(InvalidName),
    /// Too many appends are waiting: try again later.
    Overloaded {
        /// [`Options::queue_appends_max`](crate::Options::queue_appends_max).
        limit: usize,
    },
    /// The disk is full. Nothing was written; appends succeed again once there is space.
    DiskFull,
    /// A write or sync failed, now or earlier. The store is read-only until it is opened again; whether an append
    /// that was under way is there is known only then.
    Poisoned(Arc<io::Error>),
    /// The writer ended in the middle of this append. Whether it is there is known when the store is opened again.
    Interrupted,
    /// What has to be read to judge the append is damaged.
    Corrupt(Damage),
    /// What has to be read to judge the append could not be read: try again.
    Unavailable(Arc<io::Error>),
    /// The store is closed.
    Closed,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Conflict { stream, expected, actual } => {
                write!(f, "stream {stream} is at version {actual}, expected was {expected}")
            }
            AppendError::BoundaryCrossed { clause, after, found } => write!(
                f,
                "position {found}, behind the boundary at {after}, matches clause {clause} of its selection: read \
                 it again and decide again"
            ),
            AppendError::BoundaryBeyondHead { after, head } => write!(
                f,
                "the boundary at position {after} is beyond the head {head}: it is not of this store's history; read \
                 it again and decide again"
            ),
            AppendError::InvalidSelection(invalid) => invalid.fmt(f),
            AppendError::CommandIdReused { id } => {
                write!(f, "command id {:032x} was used for another request", u128::from_be_bytes(*id))
            }
            AppendError::Empty => f.write_str("the append has no event"),
            AppendError::DuplicateStream { stream } => {
                write!(f, "stream {stream} occurs twice in the append")
            }
            AppendError::EventTooLarge { bytes, limit } => {
                write!(f, "the event has {bytes} bytes, the limit is {limit}")
            }
            AppendError::BatchTooLarge { what, found, limit } => {
                write!(f, "the append has {found} {what}, the limit is {limit}")
            }
            AppendError::TooManyTags { found } => {
                write!(f, "the event has {found} tags, the limit is {}", crate::EVENT_TAGS_MAX)
            }
            AppendError::InvalidEventName(invalid) => invalid.fmt(f),
            AppendError::Overloaded { limit } => write!(f, "{limit} appends are waiting already"),
            AppendError::DiskFull => f.write_str("the disk is full"),
            AppendError::Poisoned(error) => {
                write!(f, "the store is read-only after a failed write: {error}")
            }
            AppendError::Interrupted => f.write_str("the writer ended in the middle of the append"),
            AppendError::Corrupt(damage) => damage.fmt(f),
            AppendError::Unavailable(error) => write!(f, "the log cannot be read: {error}"),
            AppendError::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AppendError::Poisoned(error) | AppendError::Unavailable(error) => Some(error),
            AppendError::InvalidEventName(invalid) => Some(invalid),
            AppendError::InvalidSelection(invalid) => Some(invalid),
            _ => None,
        }
    }
}

/// Why a read gave nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes read are not what was written; nothing of them is served.
    Corrupt(Damage),
    /// The disk failed: try again.
    Unavailable(Arc<io::Error>),
    /// The selection breaks a limit or a rule.
    InvalidSelection(InvalidSelection),
    /// The store is closed.
    Closed,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::InvalidSelection(invalid) => invalid.fmt(f),
            ReadError::Corrupt(damage) => damage.fmt(f),
            ReadError::Unavailable(error) => write!(f, "the log cannot be read: {error}"),
            ReadError::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Unavailable(error) => Some(error),
            ReadError::InvalidSelection(invalid) => Some(invalid),
            _ => None,
        }
    }
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> Self {
        ReadError::Corrupt(damage)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Unavailable(Arc::new(error))
    }
}

impl From<ReadError> for AppendError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(damage) => AppendError::Corrupt(damage),
            ReadError::Unavailable(error) => AppendError::Unavailable(error),
            ReadError::InvalidSelection(invalid) => AppendError::InvalidSelection(invalid),
            ReadError::Closed => AppendError::Closed,
        }
    }
}

/// The store was closed while something waited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store is closed")
    }
}

impl std::error::Error for Closed {}

/// Why what is written was not synced.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SyncError {
    /// A write or sync failed, now or earlier. The store is read-only until it is opened again; what was written and
    /// not synced is known only then.
    Poisoned(Arc<io::Error>),
    /// The store is closed.
    Closed,
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyncError::Poisoned(error) => write!(f, "the store is read-only after a failed write: {error}"),
            SyncError::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for SyncError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SyncError::Poisoned(error) => Some(error),
            SyncError::Closed => None,
        }
    }
}

/// Why a store was not closed cleanly. It is closed all the same, and the next opening recovers it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CloseError {
    /// An earlier write or sync failed.
    Poisoned(Arc<io::Error>),
    /// The marker of a clean close could not be written.
    Unavailable(Arc<io::Error>),
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseError::Poisoned(error) => write!(f, "closed after a failed write: {error}"),
            CloseError::Unavailable(error) => write!(f, "closed without its marker: {error}"),
        }
    }
}

impl std::error::Error for CloseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CloseError::Poisoned(error) | CloseError::Unavailable(error) => Some(error),
        }
    }
}

/// Whether there was no space for what was written.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
