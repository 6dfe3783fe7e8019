//! Why an attempt of a loop fails: which errors end the loop for good, and which ones time may mend.

use std::{
    fmt::{self, Display},
    mem::discriminant,
};

use super::TaskFailure;
use crate::{
    bus::BusError,
    read::ReadError,
    store::{ProgressError, StoreError},
};

/// Why a loop must not go on: whoever runs it is told, and may start it again.
pub(crate) trait Ending: Display + Sized {
    /// Another owner took over. Every other ending is for an operator to look at.
    const STOOD_DOWN: Self;

    /// Whether another owner took over.
    fn is_stood_down(&self) -> bool {
        discriminant(self) == discriminant(&Self::STOOD_DOWN)
    }
}

/// Why an attempt of a loop was over before the loop was told to stop.
#[derive(Debug)]
pub(crate) enum Trouble<E> {
    /// The loop must not go on.
    End(E),
    /// Time may mend it: to be tried again later.
    Later(String),
}

impl<E: Display> Display for Trouble<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End(end) => end.fmt(f),
            Self::Later(reason) => reason.fmt(f),
        }
    }
}

impl<E: Ending> From<E> for Trouble<E> {
    fn from(end: E) -> Self {
        Self::End(end)
    }
}

impl<E: Ending + From<StoreError>> From<StoreError> for Trouble<E> {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(_) => Self::End(error.into()),
            later => Self::Later(later.to_string()),
        }
    }
}

impl<E: Ending + From<StoreError> + From<ProgressError>> From<ProgressError> for Trouble<E> {
    fn from(error: ProgressError) -> Self {
        match error {
            ProgressError::Fenced { .. } => Self::End(E::STOOD_DOWN),
            ProgressError::Store(error) => error.into(),
            // Written after all, although the answer was an error: read it again.
            ProgressError::Moved(_) => Self::Later(error.to_string()),
            ProgressError::Refused(_) => Self::End(error.into()),
        }
    }
}

impl<E: Ending + From<ReadError>> From<ReadError> for Trouble<E> {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fenced { .. } => Self::End(E::STOOD_DOWN),
            ReadError::Damaged { .. } => Self::End(error.into()),
            later => Self::Later(later.to_string()),
        }
    }
}

/// The work on a thread of its own is that of read stores.
impl<E: Ending + From<ReadError>> From<TaskFailure> for Trouble<E> {
    fn from(failure: TaskFailure) -> Self {
        Self::Later(format!("the read store failed: {failure}"))
    }
}

impl<E: Ending + From<BusError>> From<BusError> for Trouble<E> {
    fn from(error: BusError) -> Self {
        if error.is_transient() { Self::Later(error.to_string()) } else { Self::End(error.into()) }
    }
}
