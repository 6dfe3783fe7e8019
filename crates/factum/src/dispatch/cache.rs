//! States of aggregates decided on lately, so that their streams are not read again for every command.

use std::{
    any::Any,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use factum_engine::{Position, StreamName, Version};
use lru::LruCache;

use super::load::Loaded;
use crate::model::Aggregate;

/// How many aggregates' states are kept, unless told otherwise.
pub(super) const CACHED_AGGREGATES_MAX_DEFAULT: usize = 10_000;

/// The states used last, by stream; the least recently used one gives way. A hint: an append still names the version
/// it was decided on, and a no from a kept state is checked against the store (see `run`).
pub(super) struct Cache(Option<Mutex<LruCache<StreamName, Kept>>>);

struct Kept {
    state: Box<dyn Any + Send>,
    version: Version,
    position: Position,
}

impl Cache {
    /// Keeps at most this many states; none at all with 0.
    pub(super) fn new(aggregates_max: usize) -> Self {
        Self(NonZeroUsize::new(aggregates_max).map(|max| Mutex::new(LruCache::new(max))))
    }

    /// Takes a state out. Whoever has taken it puts it back once it is known to be current; after an error it is gone.
    pub(super) fn take<A: Aggregate>(&self, stream: &StreamName) -> Option<Loaded<A>> {
        let Kept { state, version, position } = self.states()?.pop(stream)?;
        // Another type of the same category reads the stream for itself.
        let state = *state.downcast::<A>().ok()?;
        Some(Loaded { state, version, position })
    }

    /// Keeps a state that is current.
    pub(super) fn keep<A: Aggregate>(&self, stream: &StreamName, loaded: Loaded<A>) {
        let Loaded { state, version, position } = loaded;
        if let Some(mut states) = self.states() {
            states.put(stream.clone(), Kept { state: Box::new(state), version, position });
        }
    }

    fn states(&self) -> Option<MutexGuard<'_, LruCache<StreamName, Kept>>> {
        self.0.as_ref().map(|states| states.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
