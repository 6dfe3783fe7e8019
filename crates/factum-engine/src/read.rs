//! Reading: the index says where, the log says what, and every byte served was checked.

use std::sync::Arc;

use crate::append::{KnownCommand, Receipt};
use crate::error::ReadError;
use crate::format::batch::{BATCH_FIXED_BYTES, BatchHead, check_record, head_length};
use crate::index::BatchPlace;
use crate::names::StreamName;
use crate::numbers::{Position, Version};
use crate::page::{Direction, Page, StoredEvent};
use crate::shared::{Segment, Shared};

/// Batches longer than this are read in part when only a part is asked for.
const WHOLE_BATCH_BYTES_MAX: u32 = 64 << 10;
/// Batches at most this far apart are read with one call.
const MERGE_BYTES_MAX: u64 = 256;

/// Events of one batch that a page wants, by their numbers in it.
#[derive(Clone, Copy)]
struct Wanted {
    place: BatchPlace,
    from: u16,
    to: u16,
}

/// A stretch of the log and where it goes in the page's block.
struct Stretch {
    segment: Arc<Segment>,
    offset: u64,
    length: usize,
    at: usize,
    position: u64,
}

/// A batch in the page's block.
struct Placed {
    wanted: Wanted,
    segment: Arc<Segment>,
    head_at: usize,
    /// How much closer to the head its records stand in the block than in the log.
    skipped: usize,
}

/// Everything up to `head`.
pub(crate) fn read(
    shared: &Shared,
    head: Position,
    after: Position,
    direction: Direction,
    limit: usize,
) -> Result<Page, ReadError> {
    shared.check_open()?;
    let head = head.get();
    let index = shared.index();
    let mut gathered = Gathered::new(shared, limit);
    match direction {
        Direction::Forward => {
            let mut next = after.get().saturating_add(1);
            let places = index.ordinal(next).into_iter().flat_map(|from| index.batches_from(from));
            for place in places {
                // A batch is synced whole or not at all.
                if !gathered.wants_more() || place.first > head {
                    break;
                }
                let last = place.last().min(next.saturating_add(gathered.left as u64 - 1));
                gathered.push(place, next, last);
                next = last + 1;
            }
        }
        Direction::Backward => {
            let mut next = after.get().saturating_sub(1).min(head);
            let places = index.ordinal(next).into_iter().flat_map(|to| index.batches_down_from(to));
            for place in places {
                if !gathered.wants_more() {
                    break;
                }
                let first = place.first.max((next + 1).saturating_sub(gathered.left as u64));
                gathered.push(place, first, next);
                next = first - 1;
            }
        }
    }
    drop(index);
    let events = gathered.load(direction)?;
    let last = events.last().map_or(after, StoredEvent::position);
    let (end, read_to) = match direction {
        Direction::Forward => (last.get() >= head, last),
        Direction::Backward => (last.get().min(head + 1) <= 1, last),
    };
    let beginning = end && direction == Direction::Backward;
    Ok(Page { events, read_to: if beginning { Position::ZERO } else { read_to }, end })
}

pub(crate) fn read_stream(
    shared: &Shared,
    stream: &StreamName,
    from: Version,
    direction: Direction,
    limit: usize,
) -> Result<Page, ReadError> {
    shared.check_open()?;
    let index = shared.index();
    let head = index.head();
    let positions = index.positions(stream.as_str());
    let count = positions.len() as u64;
    let mut gathered = Gathered::new(shared, limit);
    // How many of the stream's events lie before the page's first, in the order of the log.
    let (mut low, mut high) = match direction {
        Direction::Forward => (from.get().saturating_sub(1).min(count) as usize, positions.len()),
        Direction::Backward => (0, from.get().min(count) as usize),
    };
    let ends = |event: &StoredEvent| match direction {
        Direction::Forward => event.version().get() == count,
        Direction::Backward => event.version().get() == 1,
    };
    let empty = low >= high;
    while low < high && gathered.wants_more() {
        let next = if direction == Direction::Forward { positions[low] } else { positions[high - 1] };
        let Some(place) = index.batch_at(next) else {
            break;
        };
        let run = match direction {
            Direction::Forward => {
                let count = positions[low..high].iter().take(gathered.left);
                let count = count.take_while(|position| **position <= place.last()).count();
                low += count;
                low - count..low
            }
            Direction::Backward => {
                let count = positions[low..high].iter().rev().take(gathered.left);
                let count = count.take_while(|position| **position >= place.first).count();
                high -= count;
                high..high + count
            }
        };
        gathered.push(place, positions[run.start], positions[run.end - 1]);
    }
    drop(index);
    let events = gathered.load(direction)?;
    let end = empty || events.last().is_some_and(ends);
    let read_to = match (end, direction) {
        (true, Direction::Forward) => head,
        (true, Direction::Backward) => Position::ZERO,
        (false, _) => events.last().map_or(Position::ZERO, StoredEvent::position),
    };
    Ok(Page { events, read_to, end })
}

/// The receipt and fingerprint a command left in the log.
pub(crate) fn command(shared: &Shared, id: &[u8; 16]) -> Result<Option<KnownCommand>, ReadError> {
    let Some(place) = shared.index().command(id) else {
        return Ok(None);
    };
    let segment = shared.segment(place.segment)?;
    let head = read_head(&segment, &place)?;
    let damage = |what| segment.damage(u64::from(place.offset), place.first, what);
    let head = BatchHead::read(&head, segment.mask).map_err(damage)?;
    let record = head.command().filter(|record| record.id == *id).ok_or(damage("command of a batch"))?;
    let mut streams = Vec::with_capacity(usize::from(head.streams));
    for stream in head.streams() {
        let name = StreamName::new(stream.name).map_err(|_| damage("stream name of a batch"))?;
        streams.push((name, Version::new(stream.base + u64::from(stream.events))));
    }
    let (first, last) = (Position::new(head.first), Position::new(head.last()));
    let receipt = Receipt { streams, first, last, repeated: true };
    Ok(Some(KnownCommand { fingerprint: record.fingerprint, receipt }))
}

fn read_head(segment: &Segment, place: &BatchPlace) -> Result<Vec<u8>, ReadError> {
    let offset = u64::from(place.offset);
    let mut head = vec![0; BATCH_FIXED_BYTES];
    segment.read(&mut head, offset, place.first)?;
    let length = head_length(&head).map_err(|what| segment.damage(offset, place.first, what))?;
    head.resize(length, 0);
    segment.read(&mut head[BATCH_FIXED_BYTES..], offset + BATCH_FIXED_BYTES as u64, place.first)?;
    Ok(head)
}

/// What a page wants, in the direction of the read.
struct Gathered<'a> {
    shared: &'a Shared,
    wanted: Vec<Wanted>,
    /// Events still wanted.
    left: usize,
    /// Bytes still wanted; a long batch counts as little until its head says more.
    budget: usize,
}

impl<'a> Gathered<'a> {
    fn new(shared: &'a Shared, limit: usize) -> Self {
        Gathered { shared, wanted: Vec::new(), left: limit, budget: shared.options.page_bytes_max }
    }

    fn wants_more(&self) -> bool {
        self.left > 0 && (self.budget > 0 || self.wanted.is_empty())
    }

    fn push(&mut self, place: BatchPlace, first: u64, last: u64) {
        let wanted = Wanted { place, from: (first - place.first) as u16, to: (last - place.first) as u16 };
        self.left -= usize::from(wanted.to - wanted.from) + 1;
        let bytes = place.length.min(WHOLE_BATCH_BYTES_MAX) as usize;
        if bytes > self.budget && !self.wanted.is_empty() {
            (self.left, self.budget) = (0, 0);
            return;
        }
        self.budget = self.budget.saturating_sub(bytes);
        self.wanted.push(wanted);
    }

    /// Reads and checks it all.
    fn load(self, direction: Direction) -> Result<Vec<StoredEvent>, ReadError> {
        let mut plan = Plan { shared: self.shared, stretches: Vec::new(), placed: Vec::new(), length: 0 };
        let mut budget = self.shared.options.page_bytes_max;
        for wanted in self.wanted {
            if !plan.add(wanted, direction, &mut budget)? {
                break;
            }
        }
        let mut block: Arc<[u8]> = std::iter::repeat_n(0, plan.length).collect();
        let bytes = Arc::get_mut(&mut block).expect("nobody else has it yet");
        for stretch in &plan.stretches {
            let part = &mut bytes[stretch.at..stretch.at + stretch.length];
            stretch.segment.read(part, stretch.offset, stretch.position)?;
        }
        let mut events = Vec::new();
        for placed in &plan.placed {
            let start = events.len();
            placed.check_into(&block, &mut events)?;
            if direction == Direction::Backward {
                events[start..].reverse();
            }
        }
        Ok(events)
    }
}

struct Plan<'a> {
    shared: &'a Shared,
    stretches: Vec<Stretch>,
    placed: Vec<Placed>,
    length: usize,
}

impl Plan<'_> {
    /// Plans the reading of a batch; `false` when the page is full and nothing more should be added.
    fn add(&mut self, mut wanted: Wanted, direction: Direction, budget: &mut usize) -> Result<bool, ReadError> {
        let place = wanted.place;
        let segment = self.shared.segment(place.segment)?;
        let whole = place.length <= WHOLE_BATCH_BYTES_MAX;
        if whole {
            *budget = budget.saturating_sub(place.length as usize);
            let head_at = self.stretch(&segment, u64::from(place.offset), place.length as usize, place.first);
            self.placed.push(Placed { wanted, segment, head_at, skipped: 0 });
            return Ok(true);
        }
        if *budget == 0 && !self.placed.is_empty() {
            return Ok(false);
        }
        let bytes = read_head(&segment, &place)?;
        let damage = |what| segment.damage(u64::from(place.offset), place.first, what);
        let head = BatchHead::read(&bytes, segment.mask).map_err(damage)?;
        if wanted.to >= head.events || head.length != place.length {
            return Err(damage("another batch than the index says").into());
        }
        let asked = usize::from(wanted.to - wanted.from) + 1;
        let mut fit = 0;
        while fit < asked {
            let ordinal = match direction {
                Direction::Forward => wanted.from + fit as u16,
                Direction::Backward => wanted.to - fit as u16,
            };
            let record = head.record(ordinal).len();
            if record > *budget && (fit > 0 || !self.placed.is_empty()) {
                break;
            }
            *budget = budget.saturating_sub(record);
            fit += 1;
        }
        if fit == 0 {
            return Ok(false);
        }
        match direction {
            Direction::Forward => wanted.to = wanted.from + (fit - 1) as u16,
            Direction::Backward => wanted.from = wanted.to - (fit - 1) as u16,
        }
        let records = head.record(wanted.from).start..head.record(wanted.to).end;
        let (offset, head_bytes) = (u64::from(place.offset), head.head_bytes());
        let head_at = self.length;
        self.stretches.push(Stretch {
            segment: segment.clone(),
            offset,
            length: head_bytes,
            at: head_at,
            position: place.first,
        });
        self.stretches.push(Stretch {
            segment: segment.clone(),
            offset: offset + records.start as u64,
            length: records.len(),
            at: head_at + head_bytes,
            position: place.first + u64::from(wanted.from),
        });
        self.length += head_bytes + records.len();
        self.placed.push(Placed { wanted, segment, head_at, skipped: records.start - head_bytes });
        Ok(fit == asked)
    }

    /// Adds a stretch of the log to the block, to the one before it when they are near; returns where it will be.
    fn stretch(&mut self, segment: &Arc<Segment>, offset: u64, length: usize, position: u64) -> usize {
        if let Some(last) = self.stretches.last_mut() {
            let end = last.offset + last.length as u64;
            let near = last.segment.number == segment.number && (end..=end + MERGE_BYTES_MAX).contains(&offset);
            if near {
                let at = last.at + (offset - last.offset) as usize;
                last.length = (offset - last.offset) as usize + length;
                self.length = last.at + last.length;
                return at;
            }
        }
        let at = self.length;
        self.stretches.push(Stretch { segment: segment.clone(), offset, length, at, position });
        self.length += length;
        at
    }
}

impl Placed {
    /// Checks the wanted events and adds them, in the order of the log.
    fn check_into(&self, block: &Arc<[u8]>, events: &mut Vec<StoredEvent>) -> Result<(), ReadError> {
        let (place, mask) = (self.wanted.place, self.segment.mask);
        let offset = u64::from(place.offset);
        let damage = |what| self.segment.damage(offset, place.first, what);
        let head = BatchHead::read(&block[self.head_at..], mask).map_err(damage)?;
        if (head.first, head.events, head.length) != (place.first, place.events, place.length) {
            return Err(damage("another batch than the index says").into());
        }
        let mut streams = head.streams().peekable();
        for ordinal in self.wanted.from..=self.wanted.to {
            while streams.next_if(|stream| stream.ordinal + stream.events <= ordinal).is_some() {}
            let stream = streams.peek().ok_or(damage("an event without a stream"))?;
            let record = head.record(ordinal);
            let at = self.head_at + record.start - self.skipped;
            let position = place.first + u64::from(ordinal);
            check_record(&block[at..at + record.len()], mask)
                .map_err(|what| self.segment.damage(offset + record.start as u64, position, what))?;
            events.push(StoredEvent {
                block: block.clone(),
                head: self.head_at as u32,
                stream: (self.head_at + stream.name_at) as u32,
                record: at as u32,
                position: Position::new(position),
                version: Version::new(stream.base + u64::from(ordinal - stream.ordinal) + 1),
            });
        }
        Ok(())
    }
}
