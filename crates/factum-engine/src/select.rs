//! Reading the events of a selection.

use crate::error::ReadError;
use crate::index::key::selection_keys;
use crate::lookup;
use crate::numbers::Position;
use crate::page::{Direction, Page};
use crate::read::{self, Gathered};
use crate::selection::Selection;
use crate::shared::Shared;

/// Steps of matching one page takes at most.
const PAGE_STEPS_MAX: usize = 262_144;

/// Up to `head`.
pub(crate) fn read(
    shared: &Shared,
    head: Position,
    selection: &Selection,
    after: Position,
    direction: Direction,
    limit: usize,
) -> Result<Page, ReadError> {
    selection.check().map_err(ReadError::InvalidSelection)?;
    if selection.is_everything() {
        return read::read(shared, head, after, direction, limit);
    }
    shared.check_open()?;
    let clauses = selection_keys(&shared.keyer, selection);
    let (after, head) = (after.get(), head.get());
    let (mut next, bound) = match direction {
        Direction::Forward => (after.saturating_add(1), head),
        Direction::Backward => (after.saturating_sub(1).min(head), 1),
    };
    let is_over = |next: u64| match direction {
        Direction::Forward => next > bound,
        Direction::Backward => next < bound,
    };
    let mut steps = PAGE_STEPS_MAX;
    let mut gathered = Gathered::new(shared, limit);
    while !is_over(next) && gathered.wants_more() && steps > 0 {
        let left = gathered.left();
        let found = lookup::repairing(shared, || {
            lookup::matches_from(shared, &clauses, next, bound, direction, left, &mut steps)
        })?;
        next = match gathered.push_all(&found.places, direction) {
            None => found.next,
            Some(unread) => unread,
        };
    }
    let (events, whole) = gathered.load(direction)?;
    for event in &events {
        // A key stands for its text up to chance; the log decides.
        if !selection.matches(event.name(), event.tags()) {
            return Err(read::misplaced(shared, event.position(), "an event other than the index says").into());
        }
    }
    let end = whole && is_over(next);
    let read_to = match (whole, direction) {
        (false, _) => events.last().map_or(after, |event| event.position().get()),
        (true, Direction::Forward) => (next - 1).max(after),
        (true, Direction::Backward) if end => 0,
        (true, Direction::Backward) => next + 1,
    };
    Ok(Page { events, read_to: Position::new(read_to), end })
}

/// The first clause of a selection that the event at a position matches.
pub(crate) fn clause_at(shared: &Shared, selection: &Selection, position: Position) -> Result<usize, ReadError> {
    let before = Position::new(position.get() - 1);
    let page = read::read(shared, position, before, Direction::Forward, 1)?;
    let clause = page.events.first().and_then(|event| selection.first_match(event.name(), event.tags()));
    clause.ok_or_else(|| read::misplaced(shared, position, "an event other than the index says").into())
}
