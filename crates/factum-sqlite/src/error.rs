//! What SQLite says, in the words of a read store.

use std::path::PathBuf;

use factum::read::ReadError;
use rusqlite::ErrorCode;

/// Why a file could not be opened as a read store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is no SQLite database, or is damaged: delete it.
    #[error("{path} is no readable database ({source}): delete it, it is restored from its sources")]
    NotADatabase {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A newer version of this program wrote the file: use that version, or delete the file.
    #[error(
        "{path} has format {found}, this program knows formats up to {known}: use the newer program, or delete the \
         file, it is restored from its sources"
    )]
    NewerFormat {
        /// Which file.
        path: PathBuf,
        /// The file's format.
        found: u64,
        /// The newest format this program knows.
        known: u64,
    },
    /// The file cannot be opened now: missing rights, a full disk, a lock held by another process.
    #[error("{path} cannot be opened: {source}")]
    Unavailable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    pub(crate) fn new(path: PathBuf, source: rusqlite::Error) -> Self {
        if is_damage(&source) {
            Self::NotADatabase { path, source }
        } else {
            Self::Unavailable { path, source: source.into() }
        }
    }
}

/// Something went wrong at `place`.
pub(crate) fn read_error(place: &str, source: rusqlite::Error) -> ReadError {
    if is_damage(&source) {
        ReadError::Damaged { place: place.to_owned(), source: source.into() }
    } else {
        ReadError::Unavailable(source.into())
    }
}

/// Whether trying again cannot help, because of what is in the file.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => true,
        other => matches!(
            other.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::TypeMismatch
                    | ErrorCode::ConstraintViolation
                    // A table of ours that is missing or has other columns.
                    | ErrorCode::Unknown
            )
        ),
    }
}

/// Whether a statement named a table that is not there.
pub(crate) fn is_missing_table(error: &rusqlite::Error) -> bool {
    // SQLite has no code of its own for this.
    let message = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        rusqlite::Error::SqliteFailure(_, Some(message)) => message,
        _ => return false,
    };
    message.starts_with("no such table")
}
