//! States of aggregates decided on lately, so that their streams are not read again for every command.

use std::{
    any::Any,
    sync::{Mutex, MutexGuard, PoisonError},
};

use factum_engine::{Position, StreamName, Version};
use lru::LruCache;

use super::load::Loaded;
use crate::model::{Aggregate, Timestamp};

/// How many aggregates' states are kept, unless told otherwise.
pub(super) const CACHED_AGGREGATES_MAX_DEFAULT: usize = 10_000;
/// How many bytes the states kept take, by the guess of [`Kept::weight`], unless told otherwise.
pub(super) const CACHED_BYTES_MAX_DEFAULT: usize = 128 << 20;
/// The most bytes of documents a state counts for. A long stream folds into a state far smaller than itself, and is
/// the one whose reading costs most.
const STATE_BYTES_COUNTED_MAX: usize = 1 << 20;
/// What a kept state costs besides the state, in bytes: its name, its place among the others.
const KEPT_BYTES_OVERHEAD: usize = 256;

/// The states used last, by stream; the least recently used one gives way. A hint: an append still names the version
/// it was decided on, and a no from a kept state is checked against the store (see `run`).
pub(super) struct Cache {
    states: Mutex<States>,
    aggregates_max: usize,
    bytes_max: usize,
}

struct States {
    kept: LruCache<StreamName, Kept>,
    bytes: usize,
}

struct Kept {
    state: Box<dyn Any + Send>,
    version: Version,
    position: Position,
    recorded_at: Option<Timestamp>,
    folded_bytes: usize,
    state_bytes: usize,
}

impl Kept {
    /// A state's size on the heap is not known; what was folded into it is taken for it.
    fn weight(&self) -> usize {
        KEPT_BYTES_OVERHEAD + self.state_bytes + self.folded_bytes.min(STATE_BYTES_COUNTED_MAX)
    }
}

impl Cache {
    /// Keeps at most this many states of at most so many bytes; none at all with 0 of either.
    pub(super) fn new(aggregates_max: usize, bytes_max: usize) -> Self {
        let states = States { kept: LruCache::unbounded(), bytes: 0 };
        Self { states: Mutex::new(states), aggregates_max, bytes_max }
    }

    /// Takes a state out. Whoever has taken it puts it back once it is known to be current; after an error it is gone.
    pub(super) fn take<A: Aggregate>(&self, stream: &StreamName) -> Option<Loaded<A>> {
        let kept = self.states().remove(stream)?;
        // Another type of the same category reads the stream for itself.
        let state = *kept.state.downcast::<A>().ok()?;
        let Kept { version, position, recorded_at, folded_bytes, .. } = kept;
        Some(Loaded { state, version, position, recorded_at, folded_bytes })
    }

    /// Keeps a state that is current.
    pub(super) fn keep<A: Aggregate>(&self, stream: &StreamName, loaded: Loaded<A>) {
        let Loaded { state, version, position, recorded_at, folded_bytes } = loaded;
        let state_bytes = size_of::<A>();
        let kept = Kept { state: Box::new(state), version, position, recorded_at, folded_bytes, state_bytes };
        let mut gone = Vec::new();
        let mut states = self.states();
        gone.extend(states.remove(stream));
        states.bytes += kept.weight();
        states.kept.put(stream.clone(), kept);
        while states.kept.len() > self.aggregates_max || states.bytes > self.bytes_max {
            let Some((_, last)) = states.kept.pop_lru() else { break };
            states.bytes -= last.weight();
            gone.push(last);
        }
        drop(states);
        // Dropping a state is its own code: not under the lock.
        drop(gone);
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl States {
    fn remove(&mut self, stream: &StreamName) -> Option<Kept> {
        let kept = self.kept.pop(stream)?;
        self.bytes -= kept.weight();
        Some(kept)
    }
}
