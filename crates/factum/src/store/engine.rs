//! The embedded event store.

mod errors;
mod events;
mod restored;

use std::path::Path;

use factum_engine::Engine;
use uuid::Uuid;

pub use self::restored::Restored;

use self::events::Recorder;
use super::{
    Append, AppendError, Batch, BoxFuture, Direction, EngineOptions, EventStore, Fingerprint, Fork, Heads, Identity,
    KnownCommand, OpenError, Position, Progress, ProgressError, Receipt, Selection, StoreError, StreamName, Version,
};
use crate::{
    model::{CommandId, Incarnation, StoreId},
    read::Epoch,
    runtime::Runtime,
};

/// An event store in one directory of this machine, on [`factum_engine::Engine`]. Clones share it; when the last is
/// dropped, it is closed.
///
/// An append costs no thread: it waits for the group it is synced with, or does that work itself when it is alone.
/// Reads run on the caller's task, bounded by [`EngineOptions::page_bytes_max`] and mostly served by the page cache;
/// what waits for the disk beyond that (progress, closing) runs where blocking work does.
///
/// ```
/// use factum::store::{EngineOptions, EngineStore, EventStore, Position};
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = EngineStore::open(dir.path(), EngineOptions::default())?;
/// assert_eq!(store.heads().await?.synced, Position::ZERO);
/// store.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct EngineStore {
    engine: Engine,
    identity: Identity,
    runtime: Runtime,
}

impl EngineStore {
    /// Opens the store in a directory, or makes one there. Blocks while it recovers.
    ///
    /// # Errors
    /// Another process has it open, it is damaged or of a newer format, or the disk failed.
    pub fn open(directory: impl AsRef<Path>, options: EngineOptions) -> Result<Self, OpenError> {
        let directory = directory.as_ref();
        let engine = Engine::open(directory, options)?;
        tell_cut(directory, &engine);
        Ok(Self::new(engine))
    }

    /// The store of an engine that is open already.
    pub fn new(engine: Engine) -> Self {
        let identity = identity_of(engine.identity());
        Self { engine, identity, runtime: Runtime::tokio() }
    }

    /// The same store, with its blocking work done by this runtime.
    #[must_use]
    pub fn on(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// The engine, for what only it has: what recovery did, and verifying.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Runs work that waits for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let engine = self.engine.clone();
        let done = self.runtime.blocking(move || work(&engine)).await;
        done.map_err(|failure| StoreError::Unavailable(failure.into()))
    }
}

/// A cut is no error, but an operator must know of it and where the bytes are.
pub(crate) fn tell_cut(directory: &Path, engine: &Engine) {
    if let Some(cut) = &engine.recovery().cut {
        tracing::warn!(
            directory = %directory.display(),
            segment = cut.segment,
            offset = cut.offset,
            bytes = cut.bytes,
            what = cut.what,
            kept_in = cut.side_file,
            "the end of the log was cut: an append was interrupted"
        );
    }
    let removed = &engine.recovery().cut_files_removed;
    if !removed.is_empty() {
        tracing::info!(directory = %directory.display(), ?removed, "the oldest bytes of earlier cuts were removed");
    }
}

fn identity_of(identity: &factum_engine::Identity) -> Identity {
    let forks = identity
        .forks
        .iter()
        .map(|fork| Fork { parent: Incarnation::from_uuid(Uuid::from_bytes(fork.parent)), position: fork.position });
    Identity {
        store: StoreId::from_uuid(Uuid::from_bytes(identity.store)),
        incarnation: Incarnation::from_uuid(Uuid::from_bytes(identity.incarnation)),
        forks: forks.collect(),
        key: identity.key,
    }
}

fn receipt_of(receipt: factum_engine::Receipt) -> Receipt {
    let factum_engine::Receipt { streams, first, last, repeated } = receipt;
    Receipt { streams, first, last, repeated }
}

fn progress_of(progress: factum_engine::Progress) -> Progress {
    Progress { epoch: Epoch(progress.epoch), value: progress.value }
}

impl EventStore for EngineStore {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt, AppendError>> {
        Box::pin(async move {
            let ticket = self.engine.submit(events::to_engine(append)?);
            ticket.await.map(receipt_of).map_err(errors::append)
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
            let page = self.engine.read_stream(stream, from, direction, limit.max(1)).map_err(errors::read)?;
            Recorder::of_stream(stream).batch(page)
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
            let page = self.engine.read(selection, after, direction, limit.max(1)).map_err(errors::read)?;
            Recorder::default().batch(page)
        })
    }

    fn command(&self, id: CommandId) -> BoxFuture<'_, Result<Option<KnownCommand>, StoreError>> {
        Box::pin(async move {
            let known = self.engine.command(id.as_uuid().into_bytes()).map_err(errors::read)?;
            Ok(known.map(|known| KnownCommand {
                fingerprint: Fingerprint(known.fingerprint),
                receipt: receipt_of(known.receipt),
            }))
        })
    }

    fn heads(&self) -> BoxFuture<'_, Result<Heads, StoreError>> {
        Box::pin(async move {
            let factum_engine::Heads { written, synced } = self.engine.heads();
            Ok(Heads { written, synced })
        })
    }

    fn synced_beyond(&self, after: Position) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(async move { self.engine.beyond(after).await.map_err(|factum_engine::Closed| StoreError::Closed) })
    }

    fn progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        Box::pin(async move {
            let asked = name.to_owned();
            let done = self.blocking(move |engine| engine.progress(&asked)).await?;
            done.map(progress_of).map_err(|error| errors::progress(name, error))
        })
    }

    fn claim_progress<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Progress, ProgressError>> {
        Box::pin(async move {
            let asked = name.to_owned();
            let done = self.blocking(move |engine| engine.claim_progress(&asked)).await?;
            done.map(progress_of).map_err(|error| errors::progress(name, error))
        })
    }

    fn advance_progress<'a>(
        &'a self,
        name: &'a str,
        epoch: Epoch,
        previous: Option<&'a [u8]>,
        next: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ProgressError>> {
        Box::pin(async move {
            let (asked, previous, next) = (name.to_owned(), previous.map(<[u8]>::to_vec), next.to_vec());
            let advance = move |engine: &Engine| engine.advance_progress(&asked, epoch.0, previous.as_deref(), &next);
            self.blocking(advance).await?.map_err(|error| errors::progress(name, error))
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.blocking(Engine::close).await?.map_err(errors::close) })
    }
}
