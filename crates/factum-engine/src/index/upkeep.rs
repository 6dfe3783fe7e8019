//! Gives sealed segments their index files, merges these, and makes damaged ones anew.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Trouble;
use super::UNINDEXED_SEGMENTS_MAX;
use super::adopt::Adopting;
use super::recent::Recent;
use super::run::Run;
use super::write::Unwritten;
use crate::error::ReadError;
use crate::format::small::SegmentHeader;
use crate::options::Drive;
use crate::scan::index_segment;
use crate::shared::{Shared, lock};

/// Neighbouring files of one level that are merged into one of the next.
const MERGE_FILES: usize = 4;
/// How often the writer looks again, a second apart, while it waits for room, before it refuses the group.
const ROOM_WAITS_MAX: u32 = 30;
/// How long after a failure the helper tries again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// State of the index, for those who watch over a store. All of it is derived from the log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IndexStatus {
    /// Index files a look-up may have to go through.
    pub files: usize,
    /// Sealed segments whose index is still in memory: one or two are usual, and appends wait at four.
    pub unindexed_segments: usize,
    /// Bytes of the files' blocks in memory, at most [`Options::index_cache_bytes`](crate::Options::index_cache_bytes).
    pub cached_bytes: usize,
    /// Damaged files made anew since the store was opened.
    pub rebuilt_files: u64,
    /// Why no index file could be written the last time it was tried, if so; it is tried again.
    pub failure: Option<Arc<io::Error>>,
}

/// Works on the index files, one at a time.
#[derive(Default)]
pub(crate) struct Upkeep {
    state: Mutex<State>,
    changed: Condvar,
    /// Held by whoever makes files: those that were replaced and may still be read.
    work: Mutex<Vec<Arc<Run>>>,
    /// Of a follower, which makes no files.
    following: Option<Adopting>,
}

#[derive(Default)]
struct State {
    wanted: bool,
    ended: bool,
    failure: Option<Arc<io::Error>>,
    failures: u64,
    rebuilt: u64,
    /// The helper panicked: nobody makes files any more.
    broken: bool,
}

/// Helps until it is dropped; a panic meanwhile is not waited for by anybody.
struct Helping<'a>(&'a Upkeep);

impl Drop for Helping<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = lock(&self.0.state);
            state.failure = Some(Arc::new(io::Error::other("what makes index files panicked: open the store anew")));
            state.broken = true;
            drop(state);
            self.0.changed.notify_all();
        }
    }
}

impl Upkeep {
    /// For a store that another process writes.
    pub(crate) fn following() -> Self {
        Upkeep { following: Some(Adopting::default()), ..Upkeep::default() }
    }

    /// By a follower: takes the files that the writer made meanwhile.
    pub(crate) fn adopt(&self, shared: &Shared) -> Result<(), ReadError> {
        self.following.as_ref().map_or(Ok(()), |following| following.adopt(shared))
    }

    /// By a follower: only it puts files in place, until what is returned is dropped.
    pub(crate) fn hold(&self) -> Option<impl Drop + use<'_>> {
        self.following.as_ref().map(Adopting::hold)
    }

    pub(crate) fn status(&self, shared: &Shared) -> IndexStatus {
        let index = shared.index();
        let (files, unindexed_segments) = (index.runs().len(), index.sealed().len());
        drop(index);
        let state = lock(&self.state);
        IndexStatus {
            files,
            unindexed_segments,
            cached_bytes: shared.shelf.cached_bytes(),
            rebuilt_files: state.rebuilt,
            failure: state.failure.clone(),
        }
    }

    /// Asks the helper to look for work.
    pub(crate) fn want(&self) {
        lock(&self.state).wanted = true;
        self.changed.notify_all();
    }

    /// No file is made or removed any more, once this returns: the next to open the store would find it changed
    /// behind its back.
    pub(crate) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
        drop(lock(&self.work));
    }

    fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// The helper's life.
    pub(crate) fn help(&self, shared: &Shared) {
        let _helping = Helping(self);
        let mut state = lock(&self.state);
        while !state.ended {
            if !state.wanted {
                state = match state.failure {
                    None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(_) => {
                        let waited = self.changed.wait_timeout(state, RETRY_DELAY);
                        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                        state.wanted |= timeout.timed_out();
                        state
                    }
                };
                continue;
            }
            state.wanted = false;
            drop(state);
            self.work_through(shared);
            state = lock(&self.state);
        }
    }

    /// Does what there is to do. What fails is told by the status and tried again later: the log is whole without it.
    pub(crate) fn work_through(&self, shared: &Shared) {
        let mut work = lock(&self.work);
        let done = loop {
            if self.has_ended() {
                return;
            }
            match self.work_once(shared, &mut work) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        sweep(shared, &mut work);
        drop(work);
        self.note(done);
    }

    fn note(&self, done: Result<(), Unwritten>) {
        let mut state = lock(&self.state);
        state.failure = match done {
            Ok(()) => None,
            Err(Unwritten::Stopped) => return,
            Err(Unwritten::Disk(error) | Unwritten::Trouble(Trouble::Disk(error))) => Some(Arc::new(error)),
            Err(Unwritten::Trouble(Trouble::Damaged { .. })) => Some(Arc::new(io::ErrorKind::InvalidData.into())),
        };
        state.failures += u64::from(state.failure.is_some());
        drop(state);
        self.changed.notify_all();
    }

    /// One file more; `false` when there is nothing to do.
    fn work_once(&self, shared: &Shared, work: &mut Vec<Arc<Run>>) -> Result<bool, Unwritten> {
        if self.seal_one(shared)? {
            return Ok(true);
        }
        let Some(runs) = to_merge(&shared.index().runs().clone()) else {
            return Ok(false);
        };
        let headers = headers(shared, runs[0].header.span.first, runs[runs.len() - 1].header.span.last)?;
        let merged = shared.shelf.write_merged(&headers, &runs, &mut || {
            if self.has_ended() {
                return Err(Unwritten::Stopped);
            }
            // A long merge does not hold up the writer, who waits when too many segments are sealed.
            while self.seal_one(shared)? {}
            Ok(())
        });
        match merged {
            Ok(run) => {
                shared.index_mut().replace(vec![Arc::new(run)]);
                work.extend(runs);
            }
            Err(Unwritten::Trouble(Trouble::Damaged { run })) => {
                self.make_anew(shared, work, run).map_err(|error| io::Error::other(error.to_string()))?;
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Gives the oldest sealed segment its file, if there is one without.
    fn seal_one(&self, shared: &Shared) -> Result<bool, Unwritten> {
        let Some(recent) = shared.index().sealed().first().cloned() else {
            return Ok(false);
        };
        let headers = headers(shared, recent.segment, recent.segment)?;
        let run = shared.shelf.write_recent(&headers, &recent)?;
        shared.index_mut().replace(vec![Arc::new(run)]);
        self.changed.notify_all();
        Ok(true)
    }

    /// By the writer, before one more segment is sealed: waits until there is room for its index in memory.
    pub(crate) fn make_room(&self, shared: &Shared) -> io::Result<()> {
        let is_full = || shared.index().sealed().len() >= UNINDEXED_SEGMENTS_MAX;
        if !is_full() {
            return Ok(());
        }
        if shared.options.drive == Drive::Manual {
            self.work_through(shared);
        }
        let mut state = lock(&self.state);
        let failures = state.failures;
        if shared.options.drive == Drive::Threads {
            state.wanted = true;
            self.changed.notify_all();
        }
        let mut waits = 0;
        while is_full() {
            match &state.failure {
                Some(error) if state.failures > failures || state.broken || shared.options.drive == Drive::Manual => {
                    return Err(io::Error::new(error.kind(), error.clone()));
                }
                _ => {}
            }
            if waits == ROOM_WAITS_MAX {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let waited = self.changed.wait_timeout(state, RETRY_DELAY).unwrap_or_else(PoisonError::into_inner);
            waits += u32::from(waited.1.timed_out());
            state = waited.0;
        }
        Ok(())
    }

    /// Makes a damaged file anew from the log; nothing to do when somebody did it meanwhile.
    pub(crate) fn repair(&self, shared: &Shared, run: u64) -> Result<(), ReadError> {
        if let Some(following) = &self.following {
            following.repair(shared, run)?;
            lock(&self.state).rebuilt += 1;
            return Ok(());
        }
        let mut work = lock(&self.work);
        self.make_anew(shared, &mut work, run)?;
        sweep(shared, &mut work);
        Ok(())
    }

    fn make_anew(&self, shared: &Shared, work: &mut Vec<Arc<Run>>, run: u64) -> Result<(), ReadError> {
        let Some(damaged) = shared.index().runs().iter().find(|other| other.id == run).cloned() else {
            return Ok(());
        };
        let span = damaged.header.span;
        let mut files = Vec::with_capacity(span.segments() as usize);
        for number in span.first..=span.last {
            if self.has_ended() {
                return Err(ReadError::Closed);
            }
            let headers = headers(shared, number, number)?;
            // Without events: a crash, or a group that did not fit, came before its first.
            if headers[1].first == headers[0].first {
                continue;
            }
            let recent = scanned(shared, &headers[0], headers[1].first - 1)?;
            let run = shared.shelf.write_recent(&headers, &recent).map_err(|unwritten| match unwritten {
                Unwritten::Disk(error) | Unwritten::Trouble(Trouble::Disk(error)) => ReadError::from(error),
                Unwritten::Stopped => ReadError::Closed,
                Unwritten::Trouble(Trouble::Damaged { .. }) => io::Error::from(io::ErrorKind::InvalidData).into(),
            })?;
            files.push(Arc::new(run));
        }
        shared.index_mut().replace(files);
        lock(&self.state).rebuilt += 1;
        work.push(damaged);
        Ok(())
    }
}

/// The index of a sealed segment, from the log.
pub(crate) fn scanned(shared: &Shared, header: &SegmentHeader, last: u64) -> Result<Recent, ReadError> {
    let segment = shared.segment(header.number)?;
    let length = usize::try_from(segment.header.size).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    segment.read(&mut bytes, 0, header.first)?;
    index_segment(&shared.keyer, &bytes, segment.mask, header, last)
        .map_err(|fault| segment.damage(fault.offset, fault.position, fault.what).into())
}

/// Headers of some segments and of the one behind them.
fn headers(shared: &Shared, first: u32, last: u32) -> io::Result<Vec<SegmentHeader>> {
    let segments = (first..=last + 1).map(|number| shared.segment(number));
    let headers: Result<Vec<_>, _> = segments.map(|segment| segment.map(|segment| segment.header)).collect();
    headers.map_err(|error| io::Error::other(error.to_string()))
}

/// The files to merge next, of the lowest level that has enough of them.
fn to_merge(runs: &[Arc<Run>]) -> Option<Vec<Arc<Run>>> {
    let windows = runs.windows(MERGE_FILES);
    let alike = windows.filter(|runs| runs.iter().all(|run| run.header.level == runs[0].header.level));
    alike.min_by_key(|runs| runs[0].header.level).map(<[_]>::to_vec)
}

/// Removes replaced files that nobody reads any more. Those that stay are removed when the store is opened.
fn sweep(shared: &Shared, replaced: &mut Vec<Arc<Run>>) {
    let live: Vec<String> = shared.index().runs().iter().map(|run| run.name().to_owned()).collect();
    replaced.retain(|run| {
        if Arc::strong_count(run) > 1 {
            return true;
        }
        if !live.iter().any(|name| name == run.name()) {
            let _removed = shared.shelf.remove(run.name());
        }
        false
    });
}
