//! The event store of tests and examples.

mod log;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use self::log::Log;
use super::{
    Append, AppendError, Batch, BoxFuture, Direction, EventStore, Fork, Heads, Identity, KnownCommand, Position,
    Progress, ProgressError, Receipt, Selection, StoreError, StreamName, Version,
};
use crate::{
    model::{CommandId, Incarnation, StoreId},
    read::Epoch,
};

/// A complete event store in memory, gone with its last clone. Clones share it.
///
/// It judges, numbers and refuses as the embedded store does, with the same limits; what it acknowledges is as
/// durable as the process.
///
/// ```
/// use factum::store::{EventStore, MemoryStore, Position};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// assert_eq!(store.heads().await?.synced, Position::ZERO);
/// # Ok::<(), factum::store::StoreError>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    identity: Identity,
    log: Mutex<Log>,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    head: Position,
    closed: bool,
}

impl MemoryStore {
    /// The largest event: its document and its metadata as JSON, in bytes.
    pub const EVENT_BYTES_MAX: usize = 1 << 20;
    /// The most events in one append.
    pub const BATCH_EVENTS_MAX: usize = 1_024;
    /// The most streams in one append.
    pub const BATCH_STREAMS_MAX: usize = 1_024;
    /// The most events one read returns, whatever was asked for.
    pub const READ_EVENTS_MAX: usize = 10_000;
    /// The longest wire name of an event, in bytes.
    pub const EVENT_NAME_BYTES_MAX: usize = 255;
    /// The most tags of one event.
    pub const TAGS_PER_EVENT_MAX: usize = 32;
    /// The largest progress value, in bytes.
    pub const PROGRESS_BYTES_MAX: usize = 64 << 10;
    /// The longest name of a progress, in bytes.
    pub const PROGRESS_NAME_BYTES_MAX: usize = 200;

    /// An empty store with random ids.
    pub fn new() -> Self {
        Self::seeded(fastrand::u64(..))
    }

    /// An empty store whose ids and key follow from a seed: the same for the same seed.
    pub fn seeded(seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut id = || uuid::Builder::from_random_bytes(chance.u128(..).to_be_bytes()).into_uuid();
        let (store, incarnation): (Uuid, Uuid) = (id(), id());
        let mut key = [0; 32];
        chance.fill(&mut key);
        let identity = Identity {
            store: StoreId::from_uuid(store),
            incarnation: Incarnation::from_uuid(incarnation),
            forks: Vec::new(),
            key,
        };
        let state = watch::Sender::new(State::default());
        Self { shared: Arc::new(Shared { identity, log: Mutex::default(), state }) }
    }

    /// A restore of this store: a new history of it, from the appends that ended at or below a position, with the
    /// commands they stem from and without progress. The same position gives the same history. This store goes on
    /// beside it, as the old machine does that was thought dead.
    #[must_use]
    pub fn restored_at(&self, position: Position) -> Self {
        let log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).restored_at(position);
        let head = log.head();
        let mut identity = self.shared.identity.clone();
        let incarnation = identity.incarnation.derive(&format!("restored at {head}"));
        identity.forks.push(Fork { parent: identity.incarnation, position: head });
        identity.incarnation = Incarnation::from_uuid(incarnation);
        let state = watch::Sender::new(State { head, closed: false });
        Self { shared: Arc::new(Shared { identity, log: Mutex::new(log), state }) }
    }

    /// A copy of it as it is now, with its progress, as of a folder while no process has it open: the same history. A
    /// backup is one, until it is restored.
    #[must_use]
    pub fn copied(&self) -> Self {
        let log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = watch::Sender::new(State { head: log.head(), closed: false });
        Self { shared: Arc::new(Shared { identity: self.shared.identity.clone(), log: Mutex::new(log), state }) }
    }

    /// As [`MemoryStore::restored_at`], with the progress that there is now: what a restore of a folder takes over. Where
    /// its log had lost its end, that may be of events beyond it.
    #[must_use]
    pub fn restored_with_progress_at(&self, position: Position) -> Self {
        let restored = self.restored_at(position);
        let progress = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).progress_of_all();
        restored.shared.log.lock().unwrap_or_else(PoisonError::into_inner).take_over(progress);
        restored
    }

    /// The log of an open store. A panic under the lock leaves no half of an append: all is judged before anything
    /// is changed.
    fn log(&self) -> Result<MutexGuard<'_, Log>, StoreError> {
        let log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.state.borrow().closed { Err(StoreError::Closed) } else { Ok(log) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl EventStore for MemoryStore {
    fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt, AppendError>> {
        Box::pin(async move {
            let mut log = self.log()?;
            let receipt = log.append(append)?;
            // Under the lock, so that heads are told in their order.
            self.shared.state.send_modify(|state| state.head = log.head());
            Ok(receipt)
        })
    }

    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        Box::pin(async move { Ok(self.log()?.read_stream(stream, from, direction, limit)) })
    }

    fn read<'a>(
        &'a self,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        Box::pin(async move { self.log()?.read(selection, after, direction, limit) })
    }

    fn command(&self, id: CommandId) -> BoxFuture<'_, Result<Option<KnownCommand>, StoreError>> {
        Box::pin(async move { Ok(self.log()?.command(id)) })
    }

    fn heads(&self) -> BoxFuture<'_, Result<Heads, StoreError>> {
        Box::pin(async move {
            let head = self.log()?.head();
            Ok(Heads { written: head, synced: head })
        })
    }

    fn synced_beyond(&self, after: Position) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(async move {
            let mut receiver = self.shared.state.subscribe();
            // The sender lives in `self`: only closing ends the wait without a head.
            let state = receiver.wait_for(|state| state.closed || state.head > after).await;
            match state {
                Ok(state) if state.head > after => Ok(state.head),
                _ => Err(StoreError::Closed),
            }
        })
    }

    fn progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        Box::pin(async move { self.log()?.progress(name) })
    }

    fn claim_progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        Box::pin(async move { self.log()?.claim_progress(name) })
    }

    fn advance_progress<'a>(
        &'a self,
        name: &'a str,
        epoch: Epoch,
        previous: Option<&'a [u8]>,
        next: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ProgressError>> {
        Box::pin(async move { self.log()?.advance_progress(name, epoch, previous, next) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let _log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.state.send_modify(|state| state.closed = true);
            Ok(())
        })
    }
}
