//! Following the log: from the last group seen to the one the head file names, every byte checked.

use std::sync::Arc;

use super::error::FollowError;
use crate::disk::read_up_to;
use crate::error::Damage;
use crate::format::SEGMENT_HEADER_BYTES;
use crate::format::batch::{BatchHead, GENESIS};
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::format::small::{CloseMarker, SegmentHeader, Unusable};
use crate::index::{ReadBatch, adopt};
use crate::numbers::Position;
use crate::scan::{Chain, Cursor, Fault, next_group_in};
use crate::shared::{Segment, Shared};

/// Bytes of log taken in at a time; a longer group is taken in whole.
const WINDOW_BYTES: u64 = 1 << 20;

/// Where a follower stands: behind the last group it took in.
pub(crate) struct Walk {
    cursor: Cursor,
    /// Whose history the last segment is.
    generation: usize,
    segment: Option<Arc<Segment>>,
}

impl Walk {
    pub(crate) fn new() -> Self {
        Walk { cursor: Cursor::at_segment(1, 1, GENESIS), generation: 0, segment: None }
    }

    pub(crate) fn head(&self) -> Position {
        Position::new(self.cursor.head)
    }

    /// Takes in all groups up to `end`.
    pub(crate) fn advance(&mut self, shared: &Shared, end: &CloseMarker) -> Result<(), FollowError> {
        if (end.group, end.head) < (self.cursor.group, self.cursor.head) {
            return Err(FollowError::WentBack { seen: self.head(), found: Position::new(end.head) });
        }
        let mut segment = match &self.segment {
            Some(segment) => segment.clone(),
            None => self.begin(shared, 1)?,
        };
        while segment.number < end.segment {
            if let Some(next) = self.skip(shared, &segment, end.segment)? {
                segment = next;
                continue;
            }
            let next = open(shared, segment.number + 1)?;
            self.take_in(shared, &segment, segment.size, next.header.first_group - 1)?;
            segment = self.begin(shared, segment.number + 1)?;
        }
        self.take_in(shared, &segment, end.offset, end.group)?;
        let Cursor { group, head, link, offset } = self.cursor;
        if (segment.number, group, head, link) != (end.segment, end.group, end.head, end.link) {
            return Err(segment.damage(offset, head + 1, "the log is not the one that its head names").into());
        }
        Ok(())
    }

    /// From the beginning of a segment goes over as many as an index file is of, all before `end`; returns the one
    /// behind them.
    fn skip(&mut self, shared: &Shared, from: &Arc<Segment>, end: u32) -> Result<Option<Arc<Segment>>, FollowError> {
        // A reader that meets a damaged file puts others in place meanwhile, and some in memory.
        let _held = shared.upkeep.hold();
        if self.cursor.offset > SEGMENT_HEADER_BYTES || !shared.index().is_in_files() {
            return Ok(None);
        }
        let spans = adopt::spans(shared)?.into_iter();
        for span in spans.filter(|span| span.first == from.number && span.last < end) {
            let mut segments = vec![from.clone()];
            for number in span.first + 1..=span.last + 1 {
                segments.push(open(shared, number)?);
            }
            let Some(run) = adopt::open(shared, &segments)? else { continue };
            for segment in &segments[1..] {
                let SegmentHeader { first_group, first, previous, .. } = segment.header;
                self.cursor = Cursor { group: first_group - 1, head: first - 1, link: previous, ..self.cursor };
                self.admit(shared, segment)?;
            }
            let next = segments.pop().expect("the one behind them");
            shared.index_mut().skip(run, &next.header);
            return Ok(Some(next));
        }
        Ok(None)
    }

    /// Goes on in a segment, if it begins where the one before it ends.
    fn begin(&mut self, shared: &Shared, number: u32) -> Result<Arc<Segment>, FollowError> {
        let segment = open(shared, number)?;
        self.admit(shared, &segment)?;
        Ok(segment)
    }

    fn admit(&mut self, shared: &Shared, segment: &Arc<Segment>) -> Result<(), FollowError> {
        let header = segment.header;
        let damage = |what| FollowError::from(segment.damage(0, self.cursor.head + 1, what));
        let Cursor { group, head, link, .. } = self.cursor;
        let generation = shared.identity.generation(&header.incarnation);
        let generation = generation.filter(|generation| *generation >= self.generation);
        let generation = generation.ok_or_else(|| damage("a segment of another incarnation"))?;
        if (header.first_group, header.first, header.previous) != (group + 1, head + 1, link) {
            return Err(damage("the log does not end where the next segment begins"));
        }
        if !shared.identity.left_at(self.generation, generation, head, &link) {
            return Err(damage("the store was not forked where this segment begins"));
        }
        shared.add_segment(segment.clone());
        self.cursor = Cursor::at_segment(header.first_group, header.first, header.previous);
        self.generation = generation;
        self.segment = Some(segment.clone());
        Ok(())
    }

    /// Takes in groups of a segment up to the one with this number, which ends at `limit` or before.
    fn take_in(&mut self, shared: &Shared, segment: &Segment, limit: u64, group: u64) -> Result<(), FollowError> {
        let mut window = Vec::new();
        while self.cursor.group < group {
            let base = self.cursor.offset;
            let left = limit.min(segment.size).saturating_sub(base);
            let mut length = left.min(WINDOW_BYTES);
            read(segment, &mut window, base, length, &self.cursor)?;
            let first = GroupHeader::read(&window, base, segment.mask).map_or(0, |header| u64::from(header.length));
            if first > length {
                length = first.min(left);
                read(segment, &mut window, base, length, &self.cursor)?;
            }
            let mut last_batch = None;
            while self.cursor.group < group {
                // What is cut off at the window's end is taken in with the next one.
                let rest = &window[(self.cursor.offset - base) as usize..];
                let whole = GroupHeader::read(rest, self.cursor.offset, segment.mask)
                    .is_some_and(|header| header.length as usize <= rest.len());
                let cut_off = rest.len() < GROUP_HEADER_BYTES || !whole;
                if cut_off && last_batch.is_some() && base + length < limit {
                    break;
                }
                let next = next_group_in(&window, base, segment.mask, Chain::Skipped, &mut self.cursor);
                let taken = next.map_err(|fault| damage(segment, &fault))?;
                last_batch = taken.batches.last().copied();
                let part = Part { segment, window: &window, base };
                taken.batches.iter().try_for_each(|at| part.index(shared, *at))?;
            }
            if let Some(at) = last_batch {
                let bytes = &window[(u64::from(at) - base) as usize..];
                let head = BatchHead::read(bytes, segment.mask)
                    .map_err(|what| segment.damage(u64::from(at), self.cursor.head, what))?;
                self.cursor.link = head.link(bytes);
            }
        }
        Ok(())
    }
}

fn damage(segment: &Segment, fault: &Fault) -> FollowError {
    segment.damage(fault.offset, fault.position, fault.what).into()
}

fn read(segment: &Segment, window: &mut Vec<u8>, base: u64, length: u64, cursor: &Cursor) -> Result<(), FollowError> {
    window.clear();
    window.resize(length as usize, 0);
    Ok(segment.read(window, base, cursor.head + 1)?)
}

/// A part of a segment.
struct Part<'a> {
    segment: &'a Segment,
    window: &'a [u8],
    base: u64,
}

impl Part<'_> {
    /// Adds a batch to the index.
    fn index(&self, shared: &Shared, at: u32) -> Result<(), FollowError> {
        let bytes = &self.window[(u64::from(at) - self.base) as usize..];
        let damage = |what| FollowError::from(self.segment.damage(u64::from(at), 0, what));
        let batch =
            ReadBatch::read(&shared.keyer, bytes, self.segment.mask, self.segment.number, at).map_err(damage)?;
        shared.index_mut().add_read(&batch).map_err(damage)
    }
}

/// Opens a segment and checks its header by itself.
fn open(shared: &Shared, number: u32) -> Result<Arc<Segment>, FollowError> {
    let file = shared.disk.open(&Segment::file_name(number))?;
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
    let read = read_up_to(&*file, &mut bytes, 0)?;
    let damage = |what| FollowError::Corrupt(Damage { segment: number, offset: 0, position: Position::ZERO, what });
    let header = SegmentHeader::decode(&bytes[..read]).map_err(|unusable| match unusable {
        Unusable::Newer(found) => FollowError::newer(found),
        Unusable::Damaged => damage("header of the segment"),
    })?;
    if (header.store, header.number) != (shared.identity.store, number) {
        return Err(damage("a segment of another store"));
    }
    if file.len()? < header.size {
        return Err(damage("the file is shorter than it was made"));
    }
    Ok(Segment::new(header, &shared.files))
}
