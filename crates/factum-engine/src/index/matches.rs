//! Which positions of one part of the index a selection matches: postings merged and intersected as far as needed.

use std::sync::Arc;

use super::key::{ClauseKeys, Key};
use super::recent::Recent;
use super::run::{Chunk, Run};
use super::{Postings, Trouble};
use crate::page::Direction;

/// A part of the index to match in.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Recent(&'a Recent),
    Run(&'a Arc<Run>),
}

/// A stretch of positions, both ends included, and which way to go through it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) direction: Direction,
}

impl Range {
    fn start(self) -> u64 {
        if self.direction == Direction::Forward { self.low } else { self.high }
    }

    /// Whether a position lies beyond the end.
    fn is_over(self, at: u64) -> bool {
        !(self.low..=self.high).contains(&at)
    }

    /// The position after one, zero standing for nowhere.
    fn after(self, at: u64) -> u64 {
        if self.direction == Direction::Forward { at.saturating_add(1) } else { at.saturating_sub(1) }
    }

    /// The one of two positions that comes first.
    fn earlier(self, one: u64, two: u64) -> u64 {
        if self.direction == Direction::Forward { one.min(two) } else { one.max(two) }
    }
}

/// What was found in a range.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matches {
    /// In the direction of the range.
    pub(crate) positions: Vec<u64>,
    /// The next position to look at, when not all of the range was looked at.
    pub(crate) next: Option<u64>,
}

/// Matches clauses in one part: at most `limit` positions, in about `steps` steps, which are counted down. However few
/// they are, something is found or a position settled, so that who goes on where this ended comes to an end.
pub(crate) fn find(
    source: Source<'_>,
    clauses: &[ClauseKeys],
    range: Range,
    limit: usize,
    steps: &mut usize,
) -> Result<Matches, Trouble> {
    let mut cursors = Vec::with_capacity(clauses.len());
    for clause in clauses {
        cursors.extend(ClauseCursor::new(source, clause, range)?);
    }
    // Each has steps of its own: one that goes far must not keep another from its first.
    let share = *steps / cursors.len().max(1);
    let mut given = 0_usize;
    for cursor in &mut cursors {
        cursor.steps = share.max(cursor.step_cost());
        given = given.saturating_add(cursor.steps);
    }
    let found = find_by(&mut cursors, range, limit);
    let left = cursors.iter().fold(0_usize, |left, cursor| left.saturating_add(cursor.steps));
    // Where the share is less than a step, what was given beyond it counts too: else the last steps would never end.
    *steps = steps.saturating_sub(given.saturating_sub(left));
    found
}

fn find_by(cursors: &mut [ClauseCursor<'_>], range: Range, limit: usize) -> Result<Matches, Trouble> {
    let mut positions = Vec::new();
    let mut at = range.start();
    while !range.is_over(at) {
        if positions.len() == limit {
            return Ok(Matches { positions, next: Some(at) });
        }
        // The earliest position that a clause matches, or at which it had to stop.
        let mut earliest: Option<(u64, bool)> = None;
        for cursor in cursors.iter_mut() {
            let (position, found) = match cursor.next(at, range)? {
                Step::Found(position) => (position, true),
                Step::Stopped(position) => (position, false),
                Step::None => continue,
            };
            earliest = Some(match earliest {
                // A position both matched and not yet judged by another clause is matched.
                Some((other, other_found)) if other == position => (position, found || other_found),
                Some((other, other_found)) if range.earlier(other, position) == other => (other, other_found),
                _ => (position, found),
            });
        }
        match earliest {
            Some((position, true)) => {
                positions.push(position);
                at = range.after(position);
            }
            Some((position, false)) => return Ok(Matches { positions, next: Some(position) }),
            None => break,
        }
    }
    Ok(Matches { positions, next: None })
}

enum Step {
    Found(u64),
    /// Out of steps: everything before this position was judged.
    Stopped(u64),
    None,
}

struct ClauseCursor<'a> {
    /// Any of them; when there is none, every event will do.
    names: Vec<Cursor<'a>>,
    any_name: bool,
    tags: Vec<Cursor<'a>>,
    /// The last answer, as long as it lies ahead.
    ahead: Option<u64>,
    /// Steps it may still take.
    steps: usize,
}

impl<'a> ClauseCursor<'a> {
    /// `None` when nothing in the part can match.
    fn new(source: Source<'a>, clause: &ClauseKeys, range: Range) -> Result<Option<Self>, Trouble> {
        let mut tags = Vec::with_capacity(clause.tags.len());
        for tag in &clause.tags {
            match Cursor::new(source, *tag)? {
                Some(cursor) => tags.push(cursor),
                None => return Ok(None),
            }
        }
        let mut names = Vec::with_capacity(clause.names.len());
        for name in &clause.names {
            names.extend(Cursor::new(source, *name)?);
        }
        let any_name = clause.names.is_empty();
        if !any_name && names.is_empty() || range.low > range.high {
            return Ok(None);
        }
        Ok(Some(ClauseCursor { names, any_name, tags, ahead: None, steps: 0 }))
    }

    /// What trying one candidate costs.
    fn step_cost(&self) -> usize {
        1 + self.tags.len() + self.names.len()
    }

    /// The first match from a position on. Each cursor in turn raises the candidate until all agree on one.
    fn next(&mut self, from: u64, range: Range) -> Result<Step, Trouble> {
        if let Some(ahead) = self.ahead.filter(|ahead| range.earlier(*ahead, from) == from) {
            return Ok(Step::Found(ahead));
        }
        let mut at = from;
        'candidate: loop {
            if range.is_over(at) {
                return Ok(Step::None);
            }
            let Some(left) = self.steps.checked_sub(self.step_cost()) else {
                self.steps = 0;
                return Ok(Step::Stopped(at));
            };
            self.steps = left;
            for tag in &mut self.tags {
                match tag.next(at, range)? {
                    Some(next) if next == at => {}
                    Some(next) => {
                        at = next;
                        continue 'candidate;
                    }
                    None => return Ok(Step::None),
                }
            }
            if !self.any_name {
                let mut nearest = None;
                for name in &mut self.names {
                    let next = name.next(at, range)?;
                    nearest = match (nearest, next) {
                        (Some(one), Some(two)) => Some(range.earlier(one, two)),
                        (one, two) => one.or(two),
                    };
                }
                match nearest {
                    Some(next) if next == at => {}
                    Some(next) => {
                        at = next;
                        continue 'candidate;
                    }
                    None => return Ok(Step::None),
                }
            }
            self.ahead = Some(at);
            return Ok(Step::Found(at));
        }
    }
}

/// Walks the postings of one key.
enum Cursor<'a> {
    Recent(Postings<'a>),
    Run { run: &'a Arc<Run>, key: Key, chunk: Option<Chunk>, ended: bool },
}

impl<'a> Cursor<'a> {
    fn new(source: Source<'a>, key: Key) -> Result<Option<Self>, Trouble> {
        match source {
            Source::Recent(recent) => Ok(recent.postings(key).map(Cursor::Recent)),
            Source::Run(run) if run.may_hold(key)? => Ok(Some(Cursor::Run { run, key, chunk: None, ended: false })),
            Source::Run(_) => Ok(None),
        }
    }

    /// The first position from this one on, in the direction of the range.
    fn next(&mut self, from: u64, range: Range) -> Result<Option<u64>, Trouble> {
        match (self, range.direction) {
            (Cursor::Recent(postings), Direction::Forward) => Ok(postings.at_least(from)),
            (Cursor::Recent(postings), Direction::Backward) => Ok(postings.at_most(from)),
            (Cursor::Run { ended: true, .. }, _) => Ok(None),
            (Cursor::Run { run, key, chunk, ended }, direction) => {
                if let Some(chunk) = chunk
                    && let (Some(first), Some(last)) = (chunk.positions.first(), chunk.positions.last())
                    && (*first..=*last).contains(&from)
                {
                    return Ok(in_chunk(chunk, from, direction));
                }
                *chunk = match direction {
                    Direction::Forward => run.chunk_at_least(*key, from)?,
                    Direction::Backward => run.chunk_at_most(*key, from)?,
                };
                // The range is walked one way: what is not ahead now never will be.
                let next = chunk.as_ref().and_then(|chunk| in_chunk(chunk, from, direction));
                *ended = next.is_none();
                Ok(next)
            }
        }
    }
}

fn in_chunk(chunk: &Chunk, from: u64, direction: Direction) -> Option<u64> {
    let positions = &chunk.positions;
    match direction {
        Direction::Forward => positions.get(positions.partition_point(|position| *position < from)).copied(),
        Direction::Backward => {
            positions.partition_point(|position| *position <= from).checked_sub(1).map(|at| positions[at])
        }
    }
}
