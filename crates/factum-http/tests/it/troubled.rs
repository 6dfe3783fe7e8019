//! An event store and a read store that fail as they are told to.

use std::{
    io,
    sync::{Arc, Mutex},
};

use factum::{
    CommandId, ProjectionKey,
    read::{
        Checkpoint, CheckpointMove, Epoch, Lane, MemoryReadStore, ReadError, ReadSnapshot, ReadStore, ReadTransaction,
    },
    store::{
        Append, AppendError, Batch, BoxFuture, Direction, EventStore, ExpectedVersion, Heads, Identity, KnownCommand,
        MemoryStore, Position, Progress, ProgressError, Receipt, Selection, StoreError, StreamName, Version,
    },
};
use tokio::sync::Notify;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Somebody else is always faster.
    Conflict,
    Unavailable,
    ReadOnly,
    Full,
    Damaged,
    /// Appends begin and do not end until [`Troubled::release`].
    Hanging,
}

/// Told to every trouble, and to be kept from every caller.
pub const SECRET: &str = "/var/lib/secret-path";

pub struct Troubled {
    inner: MemoryStore,
    trouble: Mutex<Trouble>,
    reached: Notify,
    released: Notify,
}

impl Troubled {
    pub fn new(trouble: Trouble) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            trouble: Mutex::new(trouble),
            reached: Notify::new(),
            released: Notify::new(),
        })
    }

    /// Waits until an append hangs.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    pub fn release(&self) {
        *self.trouble.lock().unwrap() = Trouble::None;
        self.released.notify_waiters();
    }

    fn trouble(&self) -> Trouble {
        *self.trouble.lock().unwrap()
    }

    fn check(&self) -> Result<(), StoreError> {
        let cause = || Box::new(io::Error::other(SECRET));
        match self.trouble() {
            Trouble::None | Trouble::Conflict | Trouble::Hanging => Ok(()),
            Trouble::Unavailable => Err(StoreError::Unavailable(cause())),
            Trouble::ReadOnly => Err(StoreError::ReadOnly(cause())),
            Trouble::Full => Err(StoreError::Full),
            Trouble::Damaged => Err(StoreError::Damaged(cause())),
        }
    }
}

impl EventStore for Troubled {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt, AppendError>> {
        Box::pin(async move {
            self.check()?;
            let released = self.released.notified();
            match self.trouble() {
                Trouble::Hanging => {
                    self.reached.notify_one();
                    released.await;
                }
                Trouble::Conflict => {
                    let (expected, actual) = (ExpectedVersion::Exact(Version::ZERO), Version::new(1));
                    return Err(AppendError::Conflict { stream: append.streams[0].stream.clone(), expected, actual });
                }
                _ => {}
            }
            self.inner.append(append).await
        })
    }

    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.inner.read_stream(stream, from, direction, limit).await
        })
    }

    fn read<'a>(
        &'a self,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.inner.read(selection, after, direction, limit).await
        })
    }

    fn command(&self, id: CommandId) -> BoxFuture<'_, Result<Option<KnownCommand>, StoreError>> {
        self.inner.command(id)
    }

    fn heads(&self) -> BoxFuture<'_, Result<Heads, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.inner.heads().await
        })
    }

    fn synced_beyond(&self, after: Position) -> BoxFuture<'_, Result<Position, StoreError>> {
        self.inner.synced_beyond(after)
    }

    fn progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        self.inner.progress(name)
    }

    fn claim_progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        self.inner.claim_progress(name)
    }

    fn advance_progress<'a>(
        &'a self,
        name: &'a str,
        epoch: Epoch,
        previous: Option<&'a [u8]>,
        next: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ProgressError>> {
        self.inner.advance_progress(name, epoch, previous, next)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.close()
    }
}

/// A read store that cannot be read.
pub struct UnreadableStore {
    pub inner: MemoryReadStore,
    pub error: fn() -> ReadError,
}

impl ReadStore for UnreadableStore {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        self.inner.claim(projection)
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        self.inner.checkpoints(projection)
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.inner.write(projection, epoch, moves, work)
    }

    fn read(&self, _: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        Err((self.error)())
    }
}
