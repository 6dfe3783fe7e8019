//! Why a store is not followed, each telling what to do.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::error::{Damage, ReadError};
use crate::format::FORMAT_VERSION;
use crate::numbers::Position;
use crate::options::InvalidOptions;
use crate::selection::InvalidSelection;

/// Why a store is not followed, or not any further.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FollowError {
    /// There is no store in the directory: wait until there is one.
    NotFound,
    /// Nothing says what is durable: the store was made by an older version, or the power failed. Open it once, by
    /// whoever writes to it.
    NoHead,
    /// A restore into the directory was not finished.
    UnfinishedRestore,
    /// It was written by a newer version of this program.
    NewerFormat {
        /// Format of the store.
        found: u32,
        /// Newest format this program reads.
        supported: u32,
    },
    /// Another history stands in the directory than the one that is followed: the store was restored, or another was
    /// put in its place. Open it anew; what was read beyond a fork is not part of it.
    Replaced {
        /// The incarnation that is there now.
        incarnation: [u8; 16],
    },
    /// The store is behind what was read of it, without having been restored: its files were put back.
    WentBack {
        /// The last position that was seen.
        seen: Position,
        /// The last position that is there now.
        found: Position,
    },
    /// Stored bytes are not what was written, or other files stand in their place. Open it anew; if it says so again,
    /// restore a backup.
    Corrupt(Damage),
    /// The identity of the store is damaged, or is not that of its files.
    Identity {
        /// What is wrong.
        what: &'static str,
    },
    /// The options are outside their limits.
    Options(InvalidOptions),
    /// The selection is over a limit; see [`Selection`](crate::Selection).
    InvalidSelection(InvalidSelection),
    /// Its files could not be read: try again.
    Unavailable(Arc<io::Error>),
    /// The follower is closed.
    Closed,
}

impl FollowError {
    pub(crate) fn newer(found: u32) -> Self {
        FollowError::NewerFormat { found, supported: FORMAT_VERSION }
    }

    /// Whether this follower cannot go on; else it tries again by itself.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, FollowError::Unavailable(_))
    }
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FollowError::NotFound => f.write_str("there is no store in the directory"),
            FollowError::NoHead => {
                f.write_str("nothing says what is durable in the store: it has to be opened once by its writer")
            }
            FollowError::UnfinishedRestore => f.write_str("a restore into the directory was not finished"),
            FollowError::NewerFormat { found, supported } => {
                write!(f, "the store has format {found}; this program reads up to {supported}")
            }
            FollowError::Replaced { incarnation } => {
                let incarnation = u128::from_be_bytes(*incarnation);
                write!(f, "the store was restored or replaced, it is now incarnation {incarnation:032x}: open it anew")
            }
            FollowError::WentBack { seen, found } => {
                write!(f, "the store went back to position {found}, {seen} was seen: its files were put back")
            }
            FollowError::Corrupt(damage) => damage.fmt(f),
            FollowError::Identity { what } => write!(f, "the store's identity cannot be trusted: {what}"),
            FollowError::Options(invalid) => write!(f, "invalid options: {invalid}"),
            FollowError::InvalidSelection(invalid) => invalid.fmt(f),
            FollowError::Unavailable(error) => write!(f, "the store cannot be read: {error}"),
            FollowError::Closed => f.write_str("the follower is closed"),
        }
    }
}

impl std::error::Error for FollowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FollowError::Unavailable(error) => Some(error),
            FollowError::Options(invalid) => Some(invalid),
            FollowError::InvalidSelection(invalid) => Some(invalid),
            _ => None,
        }
    }
}

impl From<Damage> for FollowError {
    fn from(damage: Damage) -> Self {
        FollowError::Corrupt(damage)
    }
}

impl From<io::Error> for FollowError {
    fn from(error: io::Error) -> Self {
        FollowError::Unavailable(Arc::new(error))
    }
}

impl From<ReadError> for FollowError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(damage) => FollowError::Corrupt(damage),
            ReadError::InvalidSelection(invalid) => FollowError::InvalidSelection(invalid),
            ReadError::Unavailable(error) => FollowError::Unavailable(error),
            ReadError::Closed => FollowError::Closed,
        }
    }
}
