//! Look-ups that go through all parts of the index: what is in memory under its lock, files without it.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::append::{CommandRecord, KnownCommand};
use crate::error::ReadError;
use crate::index::key::{BatchKeys, ClauseKeys, Key, Keyer, selection_keys};
use crate::index::matches::{self, Range, Source};
use crate::index::recent::Recent;
use crate::index::run::Run;
use crate::index::{BatchPlace, Index, Part, Trouble};
use crate::numbers::Position;
use crate::page::Direction;
use crate::read;
use crate::selection::Boundary;
use crate::shared::Shared;

/// Positions of a stream one page looks up at most.
const STREAM_POSITIONS_MAX: usize = 16_384;
/// Damaged files one look-up has made anew before it gives up.
const REPAIRS_MAX: usize = 64;
/// Steps of matching under the lock that appends need too.
const LOCKED_STEPS: usize = 4_096;
/// Positions matched at a time.
const MATCHES_MAX: usize = 1_024;

/// Does a look-up, and again after a damaged index file was made anew: with the files there are then.
pub(crate) fn repairing<T>(shared: &Shared, mut look_up: impl FnMut() -> Result<T, Trouble>) -> Result<T, ReadError> {
    for _ in 0..REPAIRS_MAX {
        match look_up() {
            Ok(found) => return Ok(found),
            Err(Trouble::Damaged { run }) => shared.upkeep.repair(shared, run)?,
            Err(Trouble::Disk(error)) => return Err(error.into()),
        }
    }
    Err(io::Error::other("index files are damaged as soon as they are written").into())
}

/// Visits the batches from the one that holds a position on, to the end of its part or until told to stop.
pub(crate) fn each_batch(
    shared: &Shared,
    position: u64,
    direction: Direction,
    visit: &mut dyn FnMut(BatchPlace) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Trouble> {
    let index = shared.index();
    let visit_recent = |recent: &Recent, visit: &mut dyn FnMut(BatchPlace) -> ControlFlow<()>| match direction {
        Direction::Forward => recent.batches_from(position).try_for_each(visit),
        Direction::Backward => recent.batches_down_from(position).try_for_each(visit),
    };
    match index.part(position) {
        Part::Active(recent) => Ok(visit_recent(recent, visit)),
        Part::Sealed(recent) => {
            let recent = recent.clone();
            drop(index);
            Ok(visit_recent(&recent, visit))
        }
        Part::Run(run) => {
            let run = run.clone();
            drop(index);
            run.batches(position, direction, visit)
        }
    }
}

/// The batch that holds a position up to the head.
pub(crate) fn batch_at(shared: &Shared, position: u64) -> Result<BatchPlace, Trouble> {
    let index = shared.index();
    match index.part(position) {
        Part::Active(recent) => Ok(recent.batch_at(position)),
        Part::Sealed(recent) => Ok(recent.batch_at(position)),
        Part::Run(run) => {
            let run = run.clone();
            drop(index);
            run.batch_at(position)
        }
    }
}

/// The version of a stream, in files.
fn version_in(runs: &[Arc<Run>], stream: Key) -> Result<u64, Trouble> {
    for run in runs.iter().rev() {
        if let Some(version) = run.last_version(stream)? {
            return Ok(version);
        }
    }
    Ok(0)
}

/// The version of a stream.
pub(crate) fn version(shared: &Shared, stream: Key) -> Result<u64, ReadError> {
    repairing(shared, || {
        let index = shared.index();
        let recent = index.recent_version(stream);
        let runs = index.runs().clone();
        drop(index);
        recent.map_or_else(|| version_in(&runs, stream), Ok)
    })
}

/// The batch a command wrote, in files.
fn command_in(runs: &[Arc<Run>], command: Key) -> Result<Option<BatchPlace>, Trouble> {
    for run in runs.iter().rev() {
        if run.may_hold(command)?
            && let Some(chunk) = run.chunk_at_least(command, 0)?
        {
            return run.batch_at(chunk.positions[0]).map(Some);
        }
    }
    Ok(None)
}

/// The batch a command wrote.
pub(crate) fn command(shared: &Shared, command: Key) -> Result<Option<BatchPlace>, ReadError> {
    repairing(shared, || {
        let index = shared.index();
        let recent = index.recent_command(command);
        let runs = index.runs().clone();
        drop(index);
        recent.map_or_else(|| command_in(&runs, command), |place| Ok(Some(place)))
    })
}

/// Events of a stream.
pub(crate) struct StreamEvents {
    /// The last event of the store, and the stream's last version, at that time.
    pub(crate) head: u64,
    pub(crate) version: u64,
    /// Positions of the versions asked for, and their batches, in the direction asked for.
    pub(crate) places: Vec<(u64, BatchPlace)>,
}

/// Looks up versions of a stream: forward from `from` up, backward from `from` down, at most `limit`.
pub(crate) fn stream(
    shared: &Shared,
    stream: Key,
    from: u64,
    direction: Direction,
    limit: usize,
) -> Result<StreamEvents, Trouble> {
    let limit = limit.min(STREAM_POSITIONS_MAX) as u64;
    let index = shared.index();
    let (head, runs) = (index.head().get(), index.runs().clone());
    let version = match index.recent_version(stream) {
        Some(version) => version,
        // Nothing of the stream is in memory: the files alone say, whatever is appended meanwhile.
        None => {
            drop(index);
            let version = version_in(&runs, stream)?;
            let (low, high) = versions(from, version, direction, limit);
            let mut parts = Vec::new();
            stream_in_runs(&runs, stream, low, high, &mut parts)?;
            return Ok(StreamEvents { head, version, places: in_order(parts, direction) });
        }
    };
    let (low, high) = versions(from, version, direction, limit);
    let mut parts = Vec::new();
    let mut oldest = version + 1;
    for recent in index.recent_down() {
        let Some(postings) = recent.postings(stream) else { continue };
        oldest = postings.base + 1;
        let (from, to) = (low.max(oldest), high.min(postings.version()));
        if from <= to {
            let (skip, take) = ((from - oldest) as usize, (to - from + 1) as usize);
            let positions = postings.positions().skip(skip).take(take);
            parts.push(recent_places(recent, positions));
        }
        if oldest <= low {
            break;
        }
    }
    drop(index);
    if low < oldest {
        stream_in_runs(&runs, stream, low, high.min(oldest - 1), &mut parts)?;
    }
    Ok(StreamEvents { head, version, places: in_order(parts, direction) })
}

/// The lowest and highest version wanted; the lowest is above the highest when there is none.
fn versions(from: u64, version: u64, direction: Direction, limit: u64) -> (u64, u64) {
    match direction {
        Direction::Forward => {
            let low = from.max(1);
            (low, low.saturating_add(limit).saturating_sub(1).min(version))
        }
        Direction::Backward => {
            let high = from.min(version);
            ((high + 1).saturating_sub(limit).max(1), high)
        }
    }
}

type Places = Vec<(u64, BatchPlace)>;

fn in_order(mut parts: Vec<Places>, direction: Direction) -> Places {
    parts.reverse();
    let mut places: Places = parts.into_iter().flatten().collect();
    if direction == Direction::Backward {
        places.reverse();
    }
    places
}

/// Adds what the files have of some versions of a stream, the newest file first.
fn stream_in_runs(runs: &[Arc<Run>], stream: Key, low: u64, high: u64, parts: &mut Vec<Places>) -> Result<(), Trouble> {
    let mut high = high;
    for run in runs.iter().rev() {
        if high < low {
            break;
        }
        let Some((base, last)) = run.versions(stream)? else { continue };
        let mut places = Vec::new();
        let mut next = low.max(base + 1);
        let mut batches = run.finder();
        while next <= high.min(last) {
            let Some(chunk) = run.chunk_of_version(stream, next)? else { break };
            let skip = (next - chunk.base - 1) as usize;
            let take = (high - next + 1) as usize;
            for position in chunk.positions.iter().skip(skip).take(take) {
                places.push((*position, batches.find(*position)?));
            }
            next = chunk.base + chunk.positions.len() as u64 + 1;
        }
        parts.push(places);
        high = high.min(base);
    }
    Ok(())
}

/// Matches of a selection in one part of the index.
pub(crate) struct PartMatches {
    /// In the direction asked for.
    pub(crate) places: Places,
    /// Where to go on: the position after the last one considered.
    pub(crate) next: u64,
}

/// Matches a selection from a position on, in the part of the index that holds it, as far as `bound` and no further
/// than a bounded number of steps. Positions are at least 1 and at most the head.
pub(crate) fn matches_from(
    shared: &Shared,
    clauses: &[ClauseKeys],
    from: u64,
    bound: u64,
    direction: Direction,
    limit: usize,
    steps: &mut usize,
) -> Result<PartMatches, Trouble> {
    let limit = limit.min(MATCHES_MAX);
    let range = |first: u64, last: u64| match direction {
        Direction::Forward => Range { low: from, high: bound.min(last), direction },
        Direction::Backward => Range { low: bound.max(first), high: from, direction },
    };
    let behind = |range: Range| match direction {
        Direction::Forward => range.high + 1,
        Direction::Backward => range.low - 1,
    };
    let index = shared.index();
    match index.part(from) {
        Part::Active(recent) => {
            let range = range(recent.first, recent.last);
            let mut locked = LOCKED_STEPS.min(*steps);
            let before = locked;
            let found = matches::find(Source::Recent(recent), clauses, range, limit, &mut locked)?;
            *steps -= before - locked;
            let places = recent_places(recent, found.positions.iter().copied());
            Ok(PartMatches { places, next: found.next.unwrap_or(behind(range)) })
        }
        Part::Sealed(recent) => {
            let recent = recent.clone();
            drop(index);
            let range = range(recent.first, recent.last);
            let found = matches::find(Source::Recent(&recent), clauses, range, limit, steps)?;
            let places = recent_places(&recent, found.positions.iter().copied());
            Ok(PartMatches { places, next: found.next.unwrap_or(behind(range)) })
        }
        Part::Run(run) => {
            let run = run.clone();
            drop(index);
            let range = range(run.header.first, run.header.last);
            let found = matches::find(Source::Run(&run), clauses, range, limit, steps)?;
            let mut batches = run.finder();
            let places = found.positions.iter().map(|position| Ok((*position, batches.find(*position)?)));
            let places = places.collect::<Result<_, Trouble>>()?;
            Ok(PartMatches { places, next: found.next.unwrap_or(behind(range)) })
        }
    }
}

/// Positions of a segment in memory, with their batches.
fn recent_places(recent: &Recent, positions: impl Iterator<Item = u64>) -> Places {
    let mut last: Option<BatchPlace> = None;
    let near = |place: &BatchPlace, position| (place.first..=place.last()).contains(&position);
    let places = positions.map(|position| {
        let place = last.filter(|place| near(place, position)).unwrap_or_else(|| recent.batch_at(position));
        last = Some(place);
        (position, place)
    });
    places.collect()
}

/// A boundary and its keys.
pub(crate) struct Bounded {
    pub(crate) boundary: Boundary,
    pub(crate) clauses: Vec<ClauseKeys>,
}

impl Bounded {
    pub(crate) fn new(keyer: &Keyer, boundary: Boundary) -> Self {
        Bounded { clauses: selection_keys(keyer, &boundary.selection), boundary }
    }
}

/// What the files say about a request, looked up on its caller's thread, so that the writer needs only what is in
/// memory. It holds as long as no segment has gone from memory into a file since.
pub(crate) struct Looked {
    /// The position up to which files were looked at.
    pub(crate) through: u64,
    /// Versions of the streams that were not in memory, in the order of the append.
    pub(crate) versions: Vec<Option<u64>>,
    /// The command, if a file knows it.
    pub(crate) command: Option<KnownCommand>,
    /// The first position behind the boundary that files say is matched.
    pub(crate) crossed: Option<u64>,
}

/// Looks up in the files what judging a request needs.
pub(crate) fn look(
    shared: &Shared,
    keys: &BatchKeys,
    command: Option<CommandRecord>,
    bounded: Option<&Bounded>,
) -> Result<Looked, ReadError> {
    let found = repairing(shared, || {
        let index = shared.index();
        let (through, runs) = (index.runs_through(), index.runs().clone());
        if runs.is_empty() {
            return Ok((Looked { through, versions: Vec::new(), command: None, crossed: None }, None));
        }
        let in_memory: Vec<bool> =
            keys.streams.iter().map(|stream| index.recent_version(stream.key).is_some()).collect();
        drop(index);
        let mut versions = Vec::with_capacity(keys.streams.len());
        for (stream, in_memory) in keys.streams.iter().zip(in_memory) {
            versions.push(if in_memory { None } else { Some(version_in(&runs, stream.key)?) });
        }
        let place = keys.command.map_or(Ok(None), |command| command_in(&runs, command))?;
        let crossed =
            bounded.map_or(Ok(None), |bounded| crossed_in(&runs, &bounded.clauses, bounded.boundary.after))?;
        Ok((Looked { through, versions, command: None, crossed }, place))
    })?;
    let (looked, place) = found;
    let command = match (command, place) {
        (Some(command), Some(place)) => Some(read::command_at(shared, &place, &command.id)?),
        _ => None,
    };
    Ok(Looked { command, ..looked })
}

/// The first position behind another that files say is matched.
pub(crate) fn crossed_in(runs: &[Arc<Run>], clauses: &[ClauseKeys], after: Position) -> Result<Option<u64>, Trouble> {
    for run in runs.iter().filter(|run| run.header.last > after.get()) {
        let low = run.header.first.max(after.get() + 1);
        let range = Range { low, high: run.header.last, direction: Direction::Forward };
        let mut steps = usize::MAX;
        let found = matches::find(Source::Run(run), clauses, range, 1, &mut steps)?;
        if let Some(position) = found.positions.first() {
            return Ok(Some(*position));
        }
    }
    Ok(None)
}

/// The first position behind another that what is in memory says is matched.
pub(crate) fn crossed_in_memory(
    index: &Index,
    clauses: &[ClauseKeys],
    after: Position,
) -> Result<Option<Position>, ReadError> {
    for recent in index.recent_up().filter(|recent| recent.last > after.get()) {
        let low = recent.first.max(after.get() + 1);
        let range = Range { low, high: recent.last, direction: Direction::Forward };
        let mut steps = usize::MAX;
        let found = matches::find(Source::Recent(recent), clauses, range, 1, &mut steps);
        let found = found.map_err(|_| io::Error::other("what is in memory is not read from a disk"))?;
        if let Some(position) = found.positions.first() {
            return Ok(Some(Position::new(*position)));
        }
    }
    Ok(None)
}
