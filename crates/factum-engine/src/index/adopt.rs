//! A follower's index: the files that the writer makes, in place of what is in memory.

use std::cmp::Reverse;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::header::Span;
use super::run::Run;
use super::upkeep::scanned;
use crate::error::ReadError;
use crate::format::small::SegmentHeader;
use crate::shared::{Segment, Shared, lock};

/// How often a file may be found damaged: the writer makes such files anew, under the same name.
const STRIKES_MAX: u32 = 2;

/// What a follower does about index files, none of which it writes.
#[derive(Default)]
pub(crate) struct Adopting {
    /// Files that were found damaged, and how often. Held by whoever puts files in place.
    damaged: Mutex<Vec<(Span, u32)>>,
}

impl Adopting {
    /// Takes what files there are for sealed segments that have their index in memory.
    pub(crate) fn adopt(&self, shared: &Shared) -> Result<(), ReadError> {
        if shared.index().sealed().is_empty() {
            return Ok(());
        }
        tile(shared, &lock(&self.damaged), None)
    }

    /// Nobody puts other files in place until what is returned is dropped.
    pub(crate) fn hold(&self) -> impl Drop + use<'_> {
        lock(&self.damaged)
    }

    /// Goes on without a damaged file: by what the writer made instead, or by the log.
    pub(crate) fn repair(&self, shared: &Shared, run: u64) -> Result<(), ReadError> {
        let mut damaged = lock(&self.damaged);
        let Some(found) = shared.index().runs().iter().find(|other| other.id == run).cloned() else {
            return Ok(());
        };
        let span = found.header.span;
        match damaged.iter_mut().find(|(other, _)| *other == span) {
            Some((_, strikes)) => *strikes += 1,
            None => damaged.push((span, 1)),
        }
        tile(shared, &damaged, Some(run))
    }
}

/// Spans of the index files there are, the longest first of those that begin together.
pub(crate) fn spans(shared: &Shared) -> io::Result<Vec<Span>> {
    let mut spans: Vec<Span> = shared.disk.list()?.iter().filter_map(|name| Span::of_file_name(name)).collect();
    spans.sort_unstable_by_key(|span| (span.first, Reverse(span.last)));
    Ok(spans)
}

/// Opens the index file of some segments, given with the one behind them; `None` when it is gone or another's.
pub(crate) fn open(shared: &Shared, segments: &[Arc<Segment>]) -> io::Result<Option<Arc<Run>>> {
    let headers: Vec<SegmentHeader> = segments.iter().map(|segment| segment.header).collect();
    match shared.shelf.open(&headers) {
        Ok(run) => Ok(run.map(Arc::new)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts together as many files as there are without a gap, from the first segment on; what they hold no longer is read
/// from the log.
fn tile(shared: &Shared, damaged: &[(Span, u32)], except: Option<u64>) -> Result<(), ReadError> {
    let segments = shared.segments.read().unwrap_or_else(PoisonError::into_inner).clone();
    let index = shared.index();
    // The active one may be sealed already, as long as no event of the next was taken in.
    let (present, active) = (index.runs().clone(), index.active_segment());
    drop(index);
    let mut spans = spans(shared)?;
    spans.retain(|span| span.last < active && !damaged.contains(&(*span, STRIKES_MAX)));
    let (mut runs, mut next) = (Vec::new(), 1);
    while next < active {
        let mut found = None;
        for span in spans.iter().filter(|span| span.first == next) {
            found = present.iter().find(|run| run.header.span == *span && Some(run.id) != except).cloned();
            if found.is_none() {
                found = open(shared, &segments[span.first as usize - 1..=span.last as usize])?;
            }
            if found.is_some() {
                break;
            }
        }
        let empty = segments[next as usize - 1].header.first == segments[next as usize].header.first;
        match found {
            Some(run) => {
                next = run.header.span.last + 1;
                runs.push(run);
            }
            None if empty => next += 1,
            None => break,
        }
    }
    let through = runs.last().map_or(0, |run| run.header.last);
    let before = present.last().map_or(0, |run| run.header.last);
    let mut read = Vec::new();
    for pair in segments.windows(2) {
        let (first, last) = (pair[0].header.first, pair[1].header.first - 1);
        if first > through && first <= last && last <= before {
            read.push(Arc::new(scanned(shared, &pair[0].header, last)?));
        }
    }
    shared.index_mut().adopt(runs, read);
    Ok(())
}
