//! Reading the events of a selection.

use crate::error::ReadError;
use crate::numbers::Position;
use crate::page::{Direction, Page, StoredEvent};
use crate::read;
use crate::selection::Selection;
use crate::shared::Shared;

/// Events one page of a selection considers at most.
const CONSIDERED_EVENTS_MAX: usize = 65_536;
/// Events considered at a time.
const CONSIDERED_STEP: usize = 1_024;

/// Up to `head`: the synced one, but for conditions.
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
    let (mut events, mut read_to, mut considered) = (Vec::new(), after, 0);
    loop {
        let page = read::read(shared, head, read_to, direction, CONSIDERED_STEP)?;
        considered += page.events.len();
        let last = page.events.last().map(StoredEvent::position);
        for event in page.events.into_iter().filter(|event| selection.matches(event.name(), event.tags())) {
            if events.len() == limit {
                break;
            }
            events.push(event);
        }
        if events.len() == limit {
            let read_to = events.last().map_or(after, StoredEvent::position);
            let end = page.end && Some(read_to) == last;
            return Ok(Page { read_to: if end { page.read_to } else { read_to }, events, end });
        }
        read_to = page.read_to;
        if page.end || considered >= CONSIDERED_EVENTS_MAX {
            return Ok(Page { events, read_to, end: page.end });
        }
    }
}

/// The earliest written event behind a position that a selection matches, and the first clause that does.
pub(crate) fn first_behind(
    shared: &Shared,
    selection: &Selection,
    after: Position,
) -> Result<Option<(usize, Position)>, ReadError> {
    // Written, not synced: a condition is judged against everything acknowledged.
    let head = shared.index().head();
    let mut after = after;
    loop {
        let page = read(shared, head, selection, after, Direction::Forward, 1)?;
        if let Some(event) = page.events.first() {
            let clause = selection.first_match(event.name(), event.tags());
            return Ok(clause.map(|clause| (clause, event.position())));
        }
        if page.end {
            return Ok(None);
        }
        after = page.read_to;
    }
}
