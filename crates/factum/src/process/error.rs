//! Why a process did not take something in.

use crate::{
    dispatch::{DispatchError, LoadError},
    model::DecodeError,
    store::{AppendError, StoreError},
};

/// Why a process did not take something in. Nothing was recorded; nothing is lost when it is told again.
#[derive(Debug, thiserror::Error)]
pub enum HearError {
    /// The event store cannot answer now.
    #[error(transparent)]
    Unavailable(StoreError),
    /// Others decided about the same process again and again.
    #[error("{attempts} attempts met others who were faster")]
    Contended {
        /// How often it was decided.
        attempts: u32,
    },
    /// The message's name is known, but its document cannot be read.
    #[error(transparent)]
    Unreadable(DecodeError),
    /// The process manager's own code panicked: the panic's message.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// What was decided cannot be recorded: its code needs mending.
    #[error("{0}")]
    Refused(String),
    /// The process's own stream cannot be read.
    #[error("{0}")]
    Corrupt(String),
}

impl HearError {
    /// Whether trying again may help without anybody doing anything.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Contended { .. })
    }
}

impl From<LoadError> for HearError {
    fn from(error: LoadError) -> Self {
        DispatchError::<()>::from(error).into()
    }
}

impl From<StoreError> for HearError {
    fn from(error: StoreError) -> Self {
        DispatchError::<()>::from(error).into()
    }
}

impl<R> From<DispatchError<R>> for HearError {
    fn from(error: DispatchError<R>) -> Self {
        match error {
            DispatchError::Unavailable(error) => Self::Unavailable(error),
            DispatchError::Contended { attempts } => Self::Contended { attempts },
            DispatchError::Panicked(panic) => Self::Panicked(panic),
            DispatchError::Corrupt(reason) => Self::Corrupt(reason),
            DispatchError::Refused(reason) => Self::Refused(reason),
            DispatchError::CommandIdReused => Self::Refused("its id was used for something else".to_owned()),
            DispatchError::Rejected(_)
            | DispatchError::Invalid(_)
            | DispatchError::UnknownCommand(_)
            | DispatchError::Denied
            | DispatchError::NotExpected { .. } => Self::Refused("it was refused as a command".to_owned()),
        }
    }
}

impl From<AppendError> for HearError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Store(error) => error.into(),
            other => Self::Refused(other.to_string()),
        }
    }
}
