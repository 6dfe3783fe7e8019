//! Why nothing was done about a key.

use crate::{
    model::EventId,
    read::ReadError,
    runtime::TaskFailure,
    store::{AppendError, StoreError},
};

/// Why nothing was done about a key.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// No handler of this name may park here.
    #[error("no handler `{name}` parks here: {known} {}", if known.contains(',') { "do" } else { "does" })]
    UnknownHandler {
        /// What was asked for.
        name: String,
        /// Those that may.
        known: String,
    },
    /// The handler's loop is just being restarted or replaced, works at something that takes long, or runs in another
    /// process by now. Nothing was recorded.
    #[error("{handler} is busy, or just being restarted: nothing was recorded, ask again in a moment")]
    Busy {
        /// The handler.
        handler: String,
    },
    /// The key is not parked.
    #[error("`{key}` is not parked in {handler}: list what is")]
    NotParked {
        /// The handler.
        handler: String,
        /// The key.
        key: String,
    },
    /// Only the first message of a key can be discarded.
    #[error("the first message of `{key}` is {first}, not {asked}: show the key, and decide about its first message")]
    NotTheFirst {
        /// The key.
        key: String,
        /// The first message's event id.
        first: EventId,
        /// What was asked for.
        asked: EventId,
    },
    /// The message after which the rest was asked for is not parked under the key.
    #[error("`{after}` is not parked under `{key}` any more: show the key from its beginning")]
    NotAfter {
        /// The key.
        key: String,
        /// What was asked for.
        after: EventId,
    },
    /// Another version or generation of the handler has applied the message: discarded, it would be missing from its next
    /// rebuild. Nothing was recorded.
    #[error("{loop_name} has applied it already, so it cannot be discarded any more: try the key again, or rebuild")]
    Applied {
        /// Who has applied it.
        loop_name: String,
    },
    /// The service has no event store.
    #[error("this service has no event store to record decisions in: give its builder one")]
    NoStore,
    /// The loop does not answer. What was decided is recorded; a discard will be carried out.
    #[error("{0}")]
    NoAnswer(String),
    /// The event store did not record the decision.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The event store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The read store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Reading panicked.
    #[error(transparent)]
    Task(#[from] TaskFailure),
}
