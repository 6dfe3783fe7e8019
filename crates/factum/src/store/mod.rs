//! The event store: the only source of truth, and the only outbox.
//!
//! [`EventStore`] is object-safe with bytes inside, so that one dispatcher, one relay and one projection loop serve
//! every store. [`EngineStore`] is the embedded one, [`MemoryStore`] the one for tests and examples.

mod engine;
mod error;
mod history;
mod memory;
mod owner;
mod standby;
mod subscription;
mod types;

use std::{future::Future, pin::Pin};

pub(crate) use engine::tell_cut;
pub use engine::{EngineStore, Restored};
pub use error::{AppendError, ProgressError, StoreError};
pub use factum_engine::{
    Boundary, CLAUSE_NAMES_MAX, CLAUSE_TAGS_MAX, Clause, Direction, ExpectedVersion, InvalidName, InvalidSelection,
    Position, SELECTION_CLAUSES_MAX, Selection, StreamName, Tag, Version,
};
pub use factum_engine::{Durability, OpenError, Options as EngineOptions, RecoveryReport, RestoreError};
pub use history::{Fork, History};
pub use memory::MemoryStore;
pub(crate) use owner::own_progress;
pub(crate) use standby::when_free;
pub use standby::{STANDBY_LOOK_EVERY, StandbyError};
pub use subscription::Subscription;
pub use types::{
    Append, Batch, CommandRecord, Fingerprint, Heads, Identity, KnownCommand, Metadata, NewEvent, Progress, Receipt,
    RecordedEvent, StreamAppend,
};

use crate::{model::CommandId, read::Epoch};

/// A boxed future, for object-safe traits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An append-only log of events with dense positions in commit order and dense versions per stream. There is no
/// update and no delete.
pub trait EventStore: Send + Sync {
    /// Which store this is, and which history of it.
    fn identity(&self) -> &Identity;

    /// Appends to one or several streams, all or nothing, under the conditions it names, judged in this order: the
    /// command id, where a repeat with the same fingerprint answers the original receipt whatever has happened since;
    /// the versions of the streams; the boundary. Durable when it answers.
    ///
    /// # Errors
    /// A conflict with expected and actual version, a boundary that was crossed or lies beyond the head, a reused
    /// command id, a limit, or the store failed; nothing was written then, except for [`StoreError::Unavailable`], after which only asking [`EventStore::command`] tells.
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt, AppendError>>;

    /// Events of one stream. Forward: versions from `from` on, ascending; backward: from `from` down. This is how a
    /// decision is loaded, and the only read that goes up to the *written* head: where an operator chose a weaker
    /// durability by name, it may see what a crash would still take back. What was decided on that is appended after
    /// it, and lost with it.
    ///
    /// # Errors
    /// The store failed or is damaged.
    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>>;

    /// Events of a selection up to the *synced* head: nothing it returns is ever taken back. Forward: positions above
    /// `after`, ascending; backward: below it, descending.
    ///
    /// # Errors
    /// The selection breaks a limit, or the store failed or is damaged.
    fn read<'a>(
        &'a self,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>>;

    /// What is known of a command id.
    ///
    /// # Errors
    /// The store failed or is damaged.
    fn command(&self, id: CommandId) -> BoxFuture<'_, Result<Option<KnownCommand>, StoreError>>;

    /// The last position written, and the last known durable.
    ///
    /// # Errors
    /// The store failed.
    fn heads(&self) -> BoxFuture<'_, Result<Heads, StoreError>>;

    /// Waits until the synced head is beyond `after`, without polling where the store allows it, and returns it.
    ///
    /// # Errors
    /// The store failed or was closed.
    fn synced_beyond(&self, after: Position) -> BoxFuture<'_, Result<Position, StoreError>>;

    /// The progress kept under a name: of relays, reactors and process managers.
    ///
    /// # Errors
    /// The store failed.
    fn progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>>;

    /// Takes over a name: raises its epoch, which fences the previous owner.
    ///
    /// # Errors
    /// The store failed.
    fn claim_progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>>;

    /// Moves progress by compare-and-set on the owner's epoch and the previous value. Durable when it answers.
    ///
    /// # Errors
    /// Fenced, moved, too large, or the store failed; nothing was written then.
    fn advance_progress<'a>(
        &'a self,
        name: &'a str,
        epoch: Epoch,
        previous: Option<&'a [u8]>,
        next: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ProgressError>>;

    /// Stops taking appends, makes everything durable, lets go of locks. Idempotent.
    ///
    /// # Errors
    /// The store failed.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}
