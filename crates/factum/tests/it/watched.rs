//! An event store that is watched: its calls are counted, and a test may step in before and after each.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
};

use factum::{
    CommandId, EventStore, Position, StreamName, Version,
    read::Epoch,
    store::{
        Append, AppendError, Batch, BoxFuture, Direction, Heads, Identity, KnownCommand, Progress, ProgressError,
        Receipt, RecordedEvent, Selection, StoreError,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Append,
    ReadStream,
    Read,
    Command,
    Heads,
}

type Hook = Box<dyn Fn(Call, usize) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>;

pub struct Watched {
    inner: Arc<dyn EventStore>,
    calls: Mutex<HashMap<Call, usize>>,
    before: Hook,
    after: Hook,
}

impl Watched {
    pub fn new(inner: &Arc<dyn EventStore>) -> Self {
        Self {
            inner: Arc::clone(inner),
            calls: Mutex::default(),
            before: Box::new(|_, _| Box::pin(async { Ok(()) })),
            after: Box::new(|_, _| Box::pin(async { Ok(()) })),
        }
    }

    /// Called before each call, with how many of its kind there were, itself included.
    pub fn before<F>(self, hook: impl Fn(Call, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        Self { before: Box::new(move |call, nth| Box::pin(hook(call, nth))), ..self }
    }

    /// The same, after each call that went well: an error hides what was done.
    pub fn after<F>(self, hook: impl Fn(Call, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        Self { after: Box::new(move |call, nth| Box::pin(hook(call, nth))), ..self }
    }

    pub fn shared(self) -> (Arc<Self>, Arc<dyn EventStore>) {
        let watched = Arc::new(self);
        (Arc::clone(&watched), watched)
    }

    /// How often it was called.
    pub fn count(&self, call: Call) -> usize {
        self.calls.lock().unwrap().get(&call).copied().unwrap_or(0)
    }

    /// How often anything was called.
    pub fn total(&self) -> usize {
        self.calls.lock().unwrap().values().sum()
    }

    async fn through<T, E: From<StoreError>>(
        &self,
        call: Call,
        inner: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let nth = {
            let mut calls = self.calls.lock().unwrap();
            let count = calls.entry(call).or_default();
            *count += 1;
            *count
        };
        (self.before)(call, nth).await?;
        let done = inner.await?;
        (self.after)(call, nth).await?;
        Ok(done)
    }
}

/// A store that is away for a while.
pub fn unavailable() -> StoreError {
    StoreError::Unavailable("gone fishing".into())
}

/// Everything in a store.
pub async fn everything(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let (selection, mut events, mut after) = (Selection::everything(), Vec::new(), Position::ZERO);
    loop {
        let batch = store.read(&selection, after, Direction::Forward, 1_000).await.unwrap();
        after = batch.read_to;
        events.extend(batch.events);
        if batch.end {
            return events;
        }
    }
}

impl EventStore for Watched {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt, AppendError>> {
        Box::pin(self.through(Call::Append, self.inner.append(append)))
    }

    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        Box::pin(self.through(Call::ReadStream, self.inner.read_stream(stream, from, direction, limit)))
    }

    fn read<'a>(
        &'a self,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'a, Result<Batch, StoreError>> {
        Box::pin(self.through(Call::Read, self.inner.read(selection, after, direction, limit)))
    }

    fn command(&self, id: CommandId) -> BoxFuture<'_, Result<Option<KnownCommand>, StoreError>> {
        Box::pin(self.through(Call::Command, self.inner.command(id)))
    }

    fn heads(&self) -> BoxFuture<'_, Result<Heads, StoreError>> {
        Box::pin(self.through(Call::Heads, self.inner.heads()))
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
