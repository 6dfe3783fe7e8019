//! From streams, names, tags, commands and positions to places in the log.
//!
//! Derived: the log alone is truth, and every part of it can be made anew from the log. A sealed segment has its index
//! in a file, alone or merged with its neighbours; the others have it in memory. The parts are disjoint in positions,
//! so that a look-up goes through them one after the other and a merge puts them one behind the other.

// In reading order; rustfmt would sort what stands together.
pub(crate) mod key;

pub(crate) mod block;

pub(crate) mod cache;

pub(crate) mod recent;

pub(crate) mod header;

pub(crate) mod run;

pub(crate) mod write;

pub(crate) mod matches;

pub(crate) mod sum;

pub(crate) mod shelf;

pub(crate) mod upkeep;

pub(crate) mod adopt;

use std::io;
use std::sync::Arc;

use self::key::{BatchKeys, Key, Keyer};
use self::recent::Recent;
use self::run::Run;
use crate::format::batch::BatchHead;
use crate::format::small::SegmentHeader;
use crate::numbers::Position;

/// What stands for a version where no versions are counted: with keys other than streams.
pub(crate) const NOT_COUNTED: u64 = u64::MAX;
/// Sealed segments that may have their index in memory, while it is on its way to a file.
pub(crate) const UNINDEXED_SEGMENTS_MAX: usize = 4;

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchPlace {
    pub(crate) first: u64,
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) events: u16,
}

impl BatchPlace {
    pub(crate) fn last(&self) -> u64 {
        self.first + u64::from(self.events) - 1
    }
}

/// Where the events of a key stand in a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Postings<'a> {
    /// Of a stream, its version before the first of them; else [`NOT_COUNTED`].
    pub(crate) base: u64,
    /// What `places` count from.
    pub(crate) first: u64,
    /// At least one, rising.
    pub(crate) places: &'a [u32],
}

impl<'a> Postings<'a> {
    pub(crate) fn positions(self) -> impl DoubleEndedIterator<Item = u64> + use<'a> {
        self.places.iter().map(move |place| self.first + u64::from(*place))
    }

    /// Of a stream, its version after the last of them.
    pub(crate) fn version(self) -> u64 {
        self.base + self.places.len() as u64
    }

    pub(crate) fn at_least(self, position: u64) -> Option<u64> {
        let place = self.places.partition_point(|place| self.first + u64::from(*place) < position);
        self.places.get(place).map(|place| self.first + u64::from(*place))
    }

    pub(crate) fn at_most(self, position: u64) -> Option<u64> {
        let place = self.places.partition_point(|place| self.first + u64::from(*place) <= position);
        place.checked_sub(1).map(|place| self.first + u64::from(self.places[place]))
    }
}

/// A batch as it is in the log.
pub(crate) struct ReadBatch {
    pub(crate) place: BatchPlace,
    pub(crate) keys: BatchKeys,
    /// Versions of its streams before it.
    pub(crate) bases: Vec<u64>,
}

impl ReadBatch {
    /// The batch at the beginning of `bytes`, all of which was checked, and which stand in the log at an offset.
    pub(crate) fn read(
        keyer: &Keyer,
        bytes: &[u8],
        mask: u32,
        segment: u32,
        offset: u32,
    ) -> Result<ReadBatch, &'static str> {
        let head = BatchHead::read(bytes, mask)?;
        let keys = BatchKeys::of_log(keyer, &head, bytes);
        let mut streams: Vec<Key> = keys.streams.iter().map(|stream| stream.key).collect();
        streams.sort_unstable();
        if streams.windows(2).any(|two| two[0] == two[1]) {
            return Err("a stream stands twice in a batch");
        }
        let place = BatchPlace { first: head.first, segment, offset, length: head.length, events: head.events };
        Ok(ReadBatch { place, keys, bases: head.streams().map(|stream| stream.base).collect() })
    }
}

/// Why a look-up gave nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// An index file is not what was written: it has to be made anew.
    Damaged {
        /// Its [`Run::id`].
        run: u64,
    },
    /// The disk failed.
    Disk(io::Error),
}

/// The index of a store. Its parts, in the order of their positions: files, sealed segments, the active one.
pub(crate) struct Index {
    runs: Arc<Vec<Arc<Run>>>,
    sealed: Vec<Arc<Recent>>,
    active: Recent,
}

/// The part that holds a position.
pub(crate) enum Part<'a> {
    Run(&'a Arc<Run>),
    Sealed(&'a Arc<Recent>),
    Active(&'a Recent),
}

impl Index {
    pub(crate) fn new(runs: Vec<Arc<Run>>, sealed: Vec<Arc<Recent>>, active: Recent) -> Self {
        Index { runs: Arc::new(runs), sealed, active }
    }

    /// Adds the batch after the head; streams come with their versions before it.
    pub(crate) fn add(&mut self, place: BatchPlace, keys: &BatchKeys, bases: impl Iterator<Item = u64>) {
        if place.segment != self.active.segment {
            // About as many keys again: what is large enough from the beginning need not grow under readers.
            let next = Recent::new(place.segment, place.first, self.active.keys());
            let sealed = std::mem::replace(&mut self.active, next);
            if sealed.keys() > 0 {
                self.sealed.push(Arc::new(sealed));
            }
        }
        self.active.add(place, keys, bases);
    }

    /// Adds a batch read from the log; refuses one whose versions do not continue its streams, as far as they are in
    /// memory.
    pub(crate) fn add_read(&mut self, batch: &ReadBatch) -> Result<(), &'static str> {
        let mut versions = batch.keys.streams.iter().zip(&batch.bases);
        if !versions.all(|(stream, base)| self.recent_version(stream.key).is_none_or(|version| version == *base)) {
            return Err("versions of a stream are not dense");
        }
        self.add(batch.place, &batch.keys, batch.bases.iter().copied());
        Ok(())
    }

    pub(crate) fn head(&self) -> Position {
        Position::new(self.active.last)
    }

    /// The position up to which look-ups need files.
    pub(crate) fn runs_through(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.header.last)
    }

    pub(crate) fn runs(&self) -> &Arc<Vec<Arc<Run>>> {
        &self.runs
    }

    /// Sealed segments without a file.
    pub(crate) fn sealed(&self) -> &[Arc<Recent>] {
        &self.sealed
    }

    /// Those in memory, the newest first.
    pub(crate) fn recent_down(&self) -> impl Iterator<Item = &Recent> {
        std::iter::once(&self.active).chain(self.sealed.iter().rev().map(|recent| &**recent))
    }

    /// Those in memory, the oldest first.
    pub(crate) fn recent_up(&self) -> impl Iterator<Item = &Recent> {
        self.sealed.iter().map(|recent| &**recent).chain(std::iter::once(&self.active))
    }

    /// The version of a stream, as far as its events are in memory.
    pub(crate) fn recent_version(&self, stream: Key) -> Option<u64> {
        self.recent_down().find_map(|recent| recent.postings(stream)).map(Postings::version)
    }

    /// The batch a command wrote, if that is in memory.
    pub(crate) fn recent_command(&self, command: Key) -> Option<BatchPlace> {
        self.recent_down().find_map(|recent| {
            let first = recent.postings(command)?.positions().next()?;
            Some(recent.batch_at(first))
        })
    }

    /// The part that holds a position up to the head.
    pub(crate) fn part(&self, position: u64) -> Part<'_> {
        if position >= self.active.first {
            return Part::Active(&self.active);
        }
        if let Some(sealed) = self.sealed.iter().find(|recent| recent.holds(position)) {
            return Part::Sealed(sealed);
        }
        let run = self.runs.partition_point(|run| run.header.last < position);
        Part::Run(self.runs.get(run).expect("the parts hold every position up to the head"))
    }

    /// Number of the segment of the last part.
    pub(crate) fn active_segment(&self) -> u32 {
        self.active.segment
    }

    /// Whether there is nothing in memory.
    pub(crate) fn is_in_files(&self) -> bool {
        self.sealed.is_empty() && self.active.keys() == 0
    }

    /// While nothing is in memory: adds a file behind the others, before a segment that is not taken in yet.
    pub(crate) fn skip(&mut self, run: Arc<Run>, next: &SegmentHeader) {
        assert!(self.is_in_files() && run.header.first == self.active.first, "the files come before what is in memory");
        Arc::make_mut(&mut self.runs).push(run);
        self.active = Recent::new(next.number, next.first, 0);
    }

    /// Puts other files in the place of all there are, and behind them sealed segments that no file holds.
    pub(crate) fn adopt(&mut self, runs: Vec<Arc<Run>>, sealed: Vec<Arc<Recent>>) {
        let in_files = runs.last().map_or(0, |run| run.header.last);
        let through = sealed.last().map_or(in_files, |recent| recent.last);
        let before = std::mem::replace(&mut self.sealed, sealed);
        self.sealed.extend(before.into_iter().filter(|recent| recent.first > through));
        self.runs = Arc::new(runs);
    }

    /// Puts files in the place of others, or of sealed segments, that hold the same positions.
    pub(crate) fn replace(&mut self, files: Vec<Arc<Run>>) {
        let (Some(first), Some(last)) = (files.first(), files.last()) else {
            return;
        };
        let (first, last) = (first.header.first, last.header.last);
        let inside = |from: u64, to: u64| first <= from && to <= last;
        self.sealed.retain(|recent| !inside(recent.first, recent.last));
        let mut runs: Vec<Arc<Run>> =
            self.runs.iter().filter(|run| !inside(run.header.first, run.header.last)).cloned().collect();
        let place = runs.partition_point(|run| run.header.last < first);
        runs.splice(place..place, files);
        self.runs = Arc::new(runs);
    }
}
