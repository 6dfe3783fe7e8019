//! An event store with fault points.

use std::{
    collections::HashMap,
    future::{Future, ready},
    ops::RangeBounds,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    model::CommandId,
    read::Epoch,
    store::{
        Append, AppendError, Batch, BoxFuture, Direction, EventStore, ExpectedVersion, Heads, Identity, KnownCommand,
        Position, Progress, ProgressError, Receipt, Selection, StoreError, StreamName, Version,
    },
};

/// The calls of an [`EventStore`] that a fault can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreCall {
    /// [`EventStore::append`]
    Append,
    /// [`EventStore::read_stream`]
    ReadStream,
    /// [`EventStore::read`]
    Read,
    /// [`EventStore::command`]
    Command,
    /// [`EventStore::heads`]
    Heads,
    /// [`EventStore::synced_beyond`]
    SyncedBeyond,
    /// [`EventStore::progress`]
    Progress,
    /// [`EventStore::claim_progress`]
    ClaimProgress,
    /// [`EventStore::advance_progress`]
    AdvanceProgress,
    /// [`EventStore::close`]
    Close,
}

impl StoreCall {
    /// Its name, as `store.append`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "store.append",
            Self::ReadStream => "store.read_stream",
            Self::Read => "store.read",
            Self::Command => "store.command",
            Self::Heads => "store.heads",
            Self::SyncedBeyond => "store.synced_beyond",
            Self::Progress => "store.progress",
            Self::ClaimProgress => "store.claim_progress",
            Self::AdvanceProgress => "store.advance_progress",
            Self::Close => "store.close",
        }
    }
}

/// What happens instead of a call's answer.
#[derive(Debug)]
pub enum Fault {
    /// The store fails.
    Store(StoreError),
    /// Somebody else was faster: an append's first stream is not at the version it expects. Other calls take no
    /// notice.
    Conflict,
}

/// What a hook does about one call. A future that never ends is a caller that dies.
pub enum Interference {
    /// Nothing.
    None,
    /// This, before the call: after an error the call is not made.
    Before(BoxFuture<'static, Result<(), Fault>>),
    /// This, after a call that went well: an error hides what was done.
    After(BoxFuture<'static, Result<(), Fault>>),
}

type Hook = Box<dyn Fn(StoreCall, u64) -> Interference + Send + Sync>;

/// An event store that passes every call on to another one, counts it, and lets a test interfere: fail it, hold it
/// up, or do something in between.
///
/// ```
/// use std::sync::Arc;
/// use factum::{
///     store::{EventStore, MemoryStore, StoreError},
///     testing::{FaultyStore, StoreCall},
/// };
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let inner: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
/// let away = || StoreError::Unavailable("gone fishing".into());
/// let store = FaultyStore::new(&inner).failing(StoreCall::Heads, 2..=3, away);
/// assert!(store.heads().await.is_ok());
/// assert!(store.heads().await.is_err() && store.heads().await.is_err());
/// assert!(store.heads().await.is_ok());
/// assert_eq!(store.count(StoreCall::Heads), 4);
/// # });
/// ```
pub struct FaultyStore {
    inner: Arc<dyn EventStore>,
    identity: Identity,
    calls: Mutex<HashMap<StoreCall, u64>>,
    hooks: Vec<Hook>,
}

impl FaultyStore {
    /// A store like that one, without any fault yet.
    pub fn new(inner: &Arc<dyn EventStore>) -> Self {
        let identity = inner.identity().clone();
        Self { inner: Arc::clone(inner), identity, calls: Mutex::default(), hooks: Vec::new() }
    }

    /// Gives it an identity of its own.
    #[must_use]
    pub fn named(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// Asks about each call, with how many of its kind there were, itself included. Several hooks are asked in the
    /// order in which they were added.
    #[must_use]
    pub fn on(mut self, hook: impl Fn(StoreCall, u64) -> Interference + Send + Sync + 'static) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Does something before each call.
    #[must_use]
    pub fn before<F>(self, hook: impl Fn(StoreCall, u64) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        self.on(move |call, nth| Interference::Before(into_fault(hook(call, nth))))
    }

    /// Does something after each call that went well.
    #[must_use]
    pub fn after<F>(self, hook: impl Fn(StoreCall, u64) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        self.on(move |call, nth| Interference::After(into_fault(hook(call, nth))))
    }

    /// Fails some calls of a kind, counted from 1, before they have any effect.
    #[must_use]
    pub fn failing(
        self,
        call: StoreCall,
        which: impl RangeBounds<u64> + Send + Sync + 'static,
        error: impl Fn() -> StoreError + Send + Sync + 'static,
    ) -> Self {
        self.on(move |met, nth| {
            if met == call && which.contains(&nth) {
                Interference::Before(Box::pin(ready(Err(Fault::Store(error())))))
            } else {
                Interference::None
            }
        })
    }

    /// Itself, and the same as what others take for an event store.
    pub fn shared(self) -> (Arc<Self>, Arc<dyn EventStore>) {
        let shared = Arc::new(self);
        (Arc::clone(&shared), shared)
    }

    /// How many calls of a kind there were.
    pub fn count(&self, call: StoreCall) -> u64 {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).get(&call).copied().unwrap_or(0)
    }

    /// How many calls there were.
    pub fn total(&self) -> u64 {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    async fn through<T, E>(
        &self,
        call: StoreCall,
        fail: impl Fn(Fault) -> Option<E>,
        inner: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let nth = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let count = calls.entry(call).or_default();
            *count += 1;
            *count
        };
        let mut afterwards = Vec::new();
        for hook in &self.hooks {
            match hook(call, nth) {
                Interference::None => {}
                Interference::Before(interfere) => interfere.await.or_else(|fault| fail(fault).map_or(Ok(()), Err))?,
                Interference::After(interfere) => afterwards.push(interfere),
            }
        }
        let answer = inner.await?;
        for interfere in afterwards {
            interfere.await.or_else(|fault| fail(fault).map_or(Ok(()), Err))?;
        }
        Ok(answer)
    }
}

fn into_fault(
    interfere: impl Future<Output = Result<(), StoreError>> + Send + 'static,
) -> BoxFuture<'static, Result<(), Fault>> {
    Box::pin(async move { interfere.await.map_err(Fault::Store) })
}

/// What a fault is to calls that can only fail as the store fails.
fn failure<E: From<StoreError>>(fault: Fault) -> Option<E> {
    match fault {
        Fault::Store(error) => Some(error.into()),
        Fault::Conflict => None,
    }
}

impl EventStore for FaultyStore {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt, AppendError>> {
        Box::pin(async move {
            let first = append.streams.first().map(|part| (part.stream.clone(), part.expected));
            let fail = |fault| match (fault, &first) {
                (Fault::Store(error), _) => Some(error.into()),
                (Fault::Conflict, Some((stream, expected))) => Some(AppendError::Conflict {
                    stream: stream.clone(),
                    expected: *expected,
                    actual: missed(*expected),
                }),
                (Fault::Conflict, None) => None,
            };
            self.through(StoreCall::Append, fail, self.inner.append(append)).await
        })
    }

    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        let inner = self.inner.read_stream(stream, from, direction, limit);
        Box::pin(self.through(StoreCall::ReadStream, failure, inner))
    }

    fn read<'a>(
        &'a self,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        Box::pin(self.through(StoreCall::Read, failure, self.inner.read(selection, after, direction, limit)))
    }

    fn command(&self, id: CommandId) -> BoxFuture<'_, Result<Option<KnownCommand>, StoreError>> {
        Box::pin(self.through(StoreCall::Command, failure, self.inner.command(id)))
    }

    fn heads(&self) -> BoxFuture<'_, Result<Heads, StoreError>> {
        Box::pin(self.through(StoreCall::Heads, failure, self.inner.heads()))
    }

    fn synced_beyond(&self, after: Position) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(self.through(StoreCall::SyncedBeyond, failure, self.inner.synced_beyond(after)))
    }

    fn progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        Box::pin(self.through(StoreCall::Progress, failure, self.inner.progress(name)))
    }

    fn claim_progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        Box::pin(self.through(StoreCall::ClaimProgress, failure, self.inner.claim_progress(name)))
    }

    fn advance_progress<'a>(
        &'a self,
        name: &'a str,
        epoch: Epoch,
        previous: Option<&'a [u8]>,
        next: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ProgressError>> {
        let inner = self.inner.advance_progress(name, epoch, previous, next);
        Box::pin(self.through(StoreCall::AdvanceProgress, failure, inner))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.through(StoreCall::Close, failure, self.inner.close()))
    }
}

/// A version that does not meet what was expected.
fn missed(expected: ExpectedVersion) -> Version {
    match expected {
        ExpectedVersion::Exact(version) => version.next(),
        ExpectedVersion::StreamExists => Version::ZERO,
        ExpectedVersion::NoStream | ExpectedVersion::Any => Version::ZERO.next(),
    }
}
