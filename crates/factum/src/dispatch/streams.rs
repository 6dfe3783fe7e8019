//! What decisions are taken on: the event store, states kept between decisions, turns. For whoever decides on a stream:
//! the dispatcher, and process managers.

use std::{sync::Arc, time::Duration};

use factum_engine::{Position, StreamName, Version};
use tokio::sync::MutexGuard;

use super::{
    cache::{CACHED_AGGREGATES_MAX_DEFAULT, CACHED_BYTES_MAX_DEFAULT, Cache},
    load::{At, LoadError, Loaded, load_stream},
    turns::Turns,
};
use crate::{
    model::{Aggregate, Timestamp},
    runtime::{Backoff, Runtime},
    store::EventStore,
};

/// How often a decision is taken before it is given up as contended, unless told otherwise.
pub(super) const ATTEMPTS_MAX_DEFAULT: u32 = 10;
/// The first wait after a conflict; doubled each time, with jitter.
const CONFLICT_WAIT_FIRST: Duration = Duration::from_micros(500);
/// The longest wait after a conflict.
const CONFLICT_WAIT_MAX: Duration = Duration::from_millis(50);

/// An event store as those see it who decide on its streams.
pub(crate) struct Streams {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) runtime: Runtime,
    pub(super) turns: Turns,
    pub(super) cache: Cache,
    pub(crate) attempts_max: u32,
}

impl Streams {
    pub(super) fn new(store: Arc<dyn EventStore>, runtime: Runtime, cache: Cache, attempts_max: u32) -> Self {
        Self { store, runtime, turns: Turns::new(), cache, attempts_max }
    }

    /// With the limits that dispatchers have by default.
    pub(crate) fn with_defaults(store: Arc<dyn EventStore>, runtime: Runtime) -> Self {
        let cache = Cache::new(CACHED_AGGREGATES_MAX_DEFAULT, CACHED_BYTES_MAX_DEFAULT);
        Self::new(store, runtime, cache, ATTEMPTS_MAX_DEFAULT)
    }

    /// Waits for the stream's turn; see [`Turns::take`].
    pub(crate) async fn turn(&self, stream: &StreamName) -> Option<MutexGuard<'_, ()>> {
        self.turns.take(&self.runtime, stream).await
    }

    /// Decides on a kept state, or on the stream as it is. Only an append proves a kept state current; any other
    /// decision on it is final only once the store says so, or else is taken again.
    pub(crate) async fn decide<A: Aggregate, D>(
        &self,
        stream: &StreamName,
        decide: impl Fn(&Loaded<A>) -> D,
        appends: impl Fn(&D) -> bool,
    ) -> Result<(Loaded<A>, D), LoadError> {
        let store = self.store.as_ref();
        if let Some(kept) = self.cache.take::<A>(stream) {
            let decision = decide(&kept);
            if appends(&decision) || kept.is_current(store, stream).await? {
                return Ok((kept, decision));
            }
        }
        let loaded = load_stream::<A>(store, stream, At::Latest).await?;
        let decision = decide(&loaded);
        Ok((loaded, decision))
    }

    /// Keeps a state that is current.
    pub(crate) fn keep<A: Aggregate>(&self, stream: &StreamName, loaded: Loaded<A>) {
        self.cache.keep(stream, loaded);
    }

    /// Keeps the state after what was decided on it has been recorded: so many events from a position on.
    pub(crate) fn keep_after<A: Aggregate>(
        &self,
        stream: &StreamName,
        after: Loaded<A>,
        events: usize,
        first: Position,
        recorded_at: Timestamp,
    ) {
        let Some(more) = (events as u64).checked_sub(1) else { return self.keep(stream, after) };
        let version = Version::new(after.version.get() + events as u64);
        let position = Position::new(first.get() + more);
        self.keep(stream, Loaded { version, position, recorded_at: Some(recorded_at), ..after });
    }

    /// Lets whoever was faster finish.
    pub(crate) async fn pause(&self, attempt: u32) {
        let mut backoff = Backoff::new(CONFLICT_WAIT_FIRST, CONFLICT_WAIT_MAX).after(attempt - 1);
        let wait = backoff.next(&self.runtime);
        self.runtime.sleep(wait).await;
    }
}
