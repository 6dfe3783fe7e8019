//! Why a copy was not restored, each telling what to do.

use std::fmt;
use std::io;

use crate::error::{Damage, is_full};
use crate::format::FORMAT_VERSION;

/// Why a copy was not restored. The copy is as it was. After the first three kinds of trouble of the target (below) it
/// is as it was too; else it may hold an unfinished restore, which is not opened as a store and may be restored into
/// again.
#[derive(Debug)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is no store in the copy.
    NotFound,
    /// The copy is a store that a process has open: it is no cold copy.
    Open,
    /// The copy holds a restore that was not finished.
    UnfinishedCopy,
    /// The copy was written by a newer version of this program.
    NewerFormat {
        /// Format of the copy.
        found: u32,
        /// Newest format this program reads.
        supported: u32,
    },
    /// Acknowledged events of the copy are damaged: restore an older one.
    Corrupt(Damage),
    /// The identity of the copy is damaged, or is not that of its files.
    Identity {
        /// What is wrong.
        what: &'static str,
    },
    /// A progress record of the copy is damaged: delete the file in the copy to let its owner start from the beginning.
    Progress {
        /// Name of the file in the copy.
        file: String,
    },
    /// The store was restored too often: its identity has no room for another fork.
    TooManyForks {
        /// [`FORKS_MAX`](crate::FORKS_MAX).
        limit: usize,
    },
    /// The target is not empty.
    NotEmpty {
        /// Name of a file in it.
        file: String,
    },
    /// Another process has the target open, or restores into it.
    TargetOpen,
    /// The target's disk is full: make space and restore again.
    DiskFull,
    /// The copy cannot be read.
    Copy(io::Error),
    /// The target cannot be written.
    Target(io::Error),
}

impl RestoreError {
    pub(crate) fn newer(found: u32) -> Self {
        RestoreError::NewerFormat { found, supported: FORMAT_VERSION }
    }

    pub(crate) fn target(error: io::Error) -> Self {
        if is_full(&error) { RestoreError::DiskFull } else { RestoreError::Target(error) }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::NotFound => f.write_str("there is no store in the copy"),
            RestoreError::Open => {
                f.write_str("a process has the copy open: stop it and copy its folder, or wait until it is stopped")
            }
            RestoreError::UnfinishedCopy => f.write_str("the copy holds a restore that was not finished"),
            RestoreError::NewerFormat { found, supported } => {
                write!(f, "the copy has format {found}; this program reads up to {supported}")
            }
            RestoreError::Corrupt(damage) => write!(f, "the copy cannot be restored: {damage}"),
            RestoreError::Identity { what } => write!(f, "the identity of the copy cannot be trusted: {what}"),
            RestoreError::Progress { file } => {
                write!(f, "both records in {file} are damaged: delete it in the copy to go on without what it says")
            }
            RestoreError::TooManyForks { limit } => write!(f, "the store was restored {limit} times already"),
            RestoreError::NotEmpty { file } => write!(f, "the target is not empty: it holds {file}"),
            RestoreError::TargetOpen => f.write_str("another process has the target open"),
            RestoreError::DiskFull => f.write_str("the disk of the target is full"),
            RestoreError::Copy(error) => write!(f, "the copy cannot be read: {error}"),
            RestoreError::Target(error) => write!(f, "the target cannot be written: {error}"),
        }
    }
}

impl std::error::Error for RestoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RestoreError::Copy(error) | RestoreError::Target(error) => Some(error),
            _ => None,
        }
    }
}
