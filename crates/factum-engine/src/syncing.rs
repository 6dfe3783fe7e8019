//! What of the log is known durable, and the syncs that no append waits for.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::format::small::CloseMarker;
use crate::head::HeadFile;
use crate::shared::{Segment, Shared, lock};

/// Groups that are written and readable by decisions, up to here, in this segment; all segments before it are synced.
#[derive(Clone)]
struct Written {
    segment: Arc<Segment>,
    end: CloseMarker,
}

/// Knows the last synced group. Whoever syncs the log tells it.
pub(crate) struct Syncing {
    state: Mutex<State>,
    /// Held during a sync: a failure is told to one caller only, who must be the one that decides what is durable.
    turn: Mutex<()>,
    wanted: Condvar,
    head_file: HeadFile,
}

struct State {
    /// Number of the last group known synced.
    group: u64,
    /// The newest of what is written and not synced.
    written: Option<Written>,
    /// When the oldest of it was written.
    since: Option<Instant>,
    broken: Option<Arc<io::Error>>,
    ended: bool,
}

impl Syncing {
    pub(crate) fn new(group: u64, head_file: HeadFile) -> Self {
        let state = State { group, written: None, since: None, broken: None, ended: false };
        Syncing { state: Mutex::new(state), turn: Mutex::new(()), wanted: Condvar::new(), head_file }
    }

    /// Number of the last group known synced.
    pub(crate) fn group(&self) -> u64 {
        lock(&self.state).group
    }

    /// Why nothing may be written and nothing becomes durable any more, if a write or sync failed.
    pub(crate) fn broken(&self) -> Option<Arc<io::Error>> {
        lock(&self.state).broken.clone()
    }

    /// A write or sync failed: the first reason is kept.
    pub(crate) fn break_off(&self, error: Arc<io::Error>) {
        lock(&self.state).broken.get_or_insert(error);
    }

    /// A segment is begun: the head file is made where the disk was full when the store was opened.
    pub(crate) fn ensure_head_file(&self, shared: &Shared) {
        // If it still is, the new segment says so.
        let _for_followers = self.head_file.ensure(&*shared.disk);
    }

    /// Nobody else syncs the log meanwhile.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    /// By the writer: a group was written, made readable and not synced.
    pub(crate) fn wrote(&self, segment: Arc<Segment>, end: CloseMarker) {
        let mut state = lock(&self.state);
        state.written = Some(Written { segment, end });
        let first = state.since.is_none();
        if first {
            state.since = Some(Instant::now());
        }
        drop(state);
        if first {
            self.wanted.notify_one();
        }
    }

    /// By whoever synced the log up to here: tells everybody who may see it now.
    pub(crate) fn synced(&self, shared: &Shared, end: CloseMarker) {
        let mut state = lock(&self.state);
        assert!(end.group >= state.group, "what is durable stays so");
        state.group = end.group;
        drop(state);
        // It is for others, and this store is well without: the next sync writes it again.
        let _for_followers = self.head_file.write(&shared.identity, end);
        shared.announcer.announce(crate::Position::new(end.head));
    }

    /// Syncs what is written. After a failure it never tries again: a second sync would prove nothing.
    pub(crate) fn sync(&self, shared: &Shared) -> Result<(), Arc<io::Error>> {
        let _turn = self.alone();
        let mut state = lock(&self.state);
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        state.since = None;
        let Some(Written { segment, end }) = state.written.take() else {
            return Ok(());
        };
        drop(state);
        match segment.log().sync() {
            Ok(()) => {
                self.synced(shared, end);
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                self.break_off(error.clone());
                Err(error)
            }
        }
    }

    /// The life of the thread that syncs in the background: each group so long after it was written, at most.
    pub(crate) fn sync_on(&self, shared: &Shared, delay: Duration) {
        let mut state = lock(&self.state);
        while !state.ended && state.broken.is_none() {
            let left = state.since.map(|since| delay.saturating_sub(since.elapsed()));
            state = match left {
                None => self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    drop(state);
                    // The writer learns of a failure by `broken`, before its next group.
                    let _told = self.sync(shared);
                    lock(&self.state)
                }
                Some(left) => self.wanted.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    pub(crate) fn end(&self) {
        lock(&self.state).ended = true;
        self.wanted.notify_all();
    }
}
