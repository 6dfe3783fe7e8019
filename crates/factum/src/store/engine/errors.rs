//! The engine's errors in the words of the event store.

use factum_engine as engine;
use uuid::Uuid;

use crate::{
    model::CommandId,
    store::{AppendError, ProgressError, StoreError},
};

pub(super) fn append(error: engine::AppendError) -> AppendError {
    use engine::AppendError as E;
    match error {
        E::Conflict { stream, expected, actual } => AppendError::Conflict { stream, expected, actual },
        E::BoundaryCrossed { clause, after, found } => AppendError::BoundaryCrossed { clause, after, found },
        E::BoundaryBeyondHead { after, head } => AppendError::BoundaryBeyondHead { after, head },
        E::CommandIdReused { id } => AppendError::CommandIdReused(CommandId::from_uuid(Uuid::from_bytes(id))),
        E::InvalidEventName(invalid) => AppendError::InvalidName(invalid),
        E::Empty
        | E::DuplicateStream { .. }
        | E::EventTooLarge { .. }
        | E::BatchTooLarge { .. }
        | E::TooManyTags { .. }
        | E::InvalidSelection(_) => AppendError::Refused(error.to_string()),
        E::Closed => AppendError::Store(StoreError::Closed),
        E::Corrupt(_) => AppendError::Store(StoreError::Damaged(error.into())),
        E::Poisoned(_) | E::Interrupted => AppendError::Store(StoreError::ReadOnly(error.into())),
        E::DiskFull => AppendError::Store(StoreError::Full),
        // Overload, an unreadable disk, and whatever a later engine may add.
        _ => AppendError::Store(StoreError::Unavailable(error.into())),
    }
}

pub(super) fn read(error: engine::ReadError) -> StoreError {
    match error {
        engine::ReadError::Closed => StoreError::Closed,
        engine::ReadError::InvalidSelection(invalid) => StoreError::InvalidSelection(invalid),
        engine::ReadError::Corrupt(_) => StoreError::Damaged(error.into()),
        _ => StoreError::Unavailable(error.into()),
    }
}

pub(super) fn progress(name: &str, error: engine::ProgressError) -> ProgressError {
    use engine::ProgressError as E;
    match error {
        E::Fenced { epoch, current } => ProgressError::Fenced { name: name.to_owned(), epoch, current },
        E::Moved { .. } => ProgressError::Moved(name.to_owned()),
        E::InvalidName | E::TooLarge { .. } => ProgressError::Refused(error.to_string()),
        E::Closed => ProgressError::Store(StoreError::Closed),
        E::Corrupt { .. } | E::NewerFormat { .. } => ProgressError::Store(StoreError::Damaged(error.into())),
        E::DiskFull => ProgressError::Store(StoreError::Full),
        _ => ProgressError::Store(StoreError::Unavailable(error.into())),
    }
}

pub(super) fn close(error: engine::CloseError) -> StoreError {
    match error {
        engine::CloseError::Poisoned(_) => StoreError::ReadOnly(error.into()),
        _ => StoreError::Unavailable(error.into()),
    }
}
