//! Why a command did not lead to a receipt.

use factum_engine::{ExpectedVersion, Version};

use crate::{
    input::InvalidInput,
    model::{AnyRejection, Rejection},
    store::StoreError,
};

/// Why a command did not lead to a receipt. `R` is the aggregate's rejection at the typed door, [`AnyRejection`] at
/// the door for named commands.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError<R = AnyRejection> {
    /// The aggregate said no. Not remembered: the same command may be accepted later.
    #[error("rejected: {0}")]
    Rejected(R),
    /// The document is not what the command looks like.
    #[error("invalid: {0}")]
    Invalid(InvalidInput),
    /// Nobody handles a command of this name.
    #[error("no command is called `{0}` here")]
    UnknownCommand(String),
    /// The principal may not send this command.
    #[error("not permitted")]
    Denied,
    /// The stream is not at the version the caller expected. Nothing was decided.
    #[error("expected {expected}, the stream is at version {actual}")]
    NotExpected {
        /// What the caller expected.
        expected: ExpectedVersion,
        /// Where the stream is.
        actual: Version,
    },
    /// Others were faster, every time: try again.
    #[error("others changed the same aggregate {attempts} times in a row: try again")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The command id was used before for another command or payload.
    #[error("this command id was used before for another request")]
    CommandIdReused,
    /// The command's own code, the aggregate's or the policy's panicked. Nothing was appended; the service goes on.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// What the decision led to is over a limit of the store.
    #[error("the store refuses the events: {0}")]
    Refused(String),
    /// The event store cannot answer now. With the same command id, trying again is safe.
    #[error(transparent)]
    Unavailable(StoreError),
    /// What is stored cannot be read.
    #[error("what is stored cannot be read: {0}")]
    Corrupt(String),
}

impl<R> DispatchError<R> {
    pub(super) fn map_rejection<S>(self, map: impl FnOnce(R) -> S) -> DispatchError<S> {
        match self {
            Self::Rejected(rejection) => DispatchError::Rejected(map(rejection)),
            Self::Invalid(input) => DispatchError::Invalid(input),
            Self::UnknownCommand(name) => DispatchError::UnknownCommand(name),
            Self::Denied => DispatchError::Denied,
            Self::NotExpected { expected, actual } => DispatchError::NotExpected { expected, actual },
            Self::Contended { attempts } => DispatchError::Contended { attempts },
            Self::CommandIdReused => DispatchError::CommandIdReused,
            Self::Panicked(message) => DispatchError::Panicked(message),
            Self::Refused(reason) => DispatchError::Refused(reason),
            Self::Unavailable(error) => DispatchError::Unavailable(error),
            Self::Corrupt(reason) => DispatchError::Corrupt(reason),
        }
    }

    pub(super) fn erased(self) -> DispatchError
    where
        R: Rejection,
    {
        self.map_rejection(|rejection| AnyRejection::of(&rejection))
    }
}

impl<R> From<StoreError> for DispatchError<R> {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(_) => Self::Corrupt(error.to_string()),
            StoreError::InvalidSelection(_) => Self::Refused(error.to_string()),
            StoreError::Unavailable(_) | StoreError::Full | StoreError::ReadOnly(_) | StoreError::Closed => {
                Self::Unavailable(error)
            }
        }
    }
}
