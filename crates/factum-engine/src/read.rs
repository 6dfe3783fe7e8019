//! Reading: the index says where, the log says what, and every byte served was checked.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::append::{KnownCommand, Receipt};
use crate::error::{Damage, ReadError};
use crate::format::batch::{BATCH_FIXED_BYTES, BatchHead, check_record, head_length};
use crate::index::BatchPlace;
use crate::lookup;
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
    let mut gathered = Gathered::new(shared, limit);
    let mut next = match direction {
        Direction::Forward => after.get().saturating_add(1),
        Direction::Backward => after.get().saturating_sub(1).min(head),
    };
    while (1..=head).contains(&next) && gathered.wants_more() {
        let visited = lookup::repairing(shared, || {
            lookup::each_batch(shared, next, direction, &mut |place| {
                // A batch is synced whole or not at all.
                if !gathered.wants_more() || place.first > head {
                    return ControlFlow::Break(());
                }
                match direction {
                    Direction::Forward => {
                        let last = place.last().min(next.saturating_add(gathered.left as u64 - 1));
                        gathered.push(place, next, last);
                        next = last + 1;
                    }
                    Direction::Backward => {
                        let first = place.first.max((next + 1).saturating_sub(gathered.left as u64));
                        gathered.push(place, first, next);
                        next = first - 1;
                    }
                }
                ControlFlow::Continue(())
            })
        })?;
        if visited.is_break() {
            break;
        }
    }
    let (events, _) = gathered.load(direction)?;
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
    let key = shared.keyer.stream(stream.as_str());
    let found = lookup::repairing(shared, || lookup::stream(shared, key, from.get(), direction, limit))?;
    let head = Position::new(found.head);
    let mut gathered = Gathered::new(shared, found.places.len());
    let _unread = gathered.push_all(&found.places, direction);
    let (events, _) = gathered.load(direction)?;
    let mut expected = match direction {
        Direction::Forward => from.get().max(1),
        Direction::Backward => from.get().min(found.version),
    };
    for event in &events {
        // A key stands for its text up to chance; the log decides.
        if event.stream() != stream.as_str() || event.version().get() != expected {
            return Err(misplaced(shared, event.position(), "an event of another stream than the index says").into());
        }
        expected = if direction == Direction::Forward { expected + 1 } else { expected.saturating_sub(1) };
    }
    let last = events.last().map(StoredEvent::version);
    let end = match direction {
        Direction::Forward => last.map_or(from.get().max(1) > found.version, |last| last.get() == found.version),
        Direction::Backward => last.map_or(from.get().min(found.version) == 0, |last| last.get() == 1),
    };
    let read_to = match (end, direction) {
        (true, Direction::Forward) => head,
        (true, Direction::Backward) => Position::ZERO,
        (false, _) => events.last().map_or(Position::ZERO, StoredEvent::position),
    };
    Ok(Page { events, read_to, end })
}

/// What the log holds at a position is not what the index found there.
pub(crate) fn misplaced(shared: &Shared, position: Position, what: &'static str) -> Damage {
    let offset = lookup::batch_at(shared, position.get()).map_or(0, |place| u64::from(place.offset));
    Damage { segment: shared.segment_of(position.get()), offset, position, what }
}

/// The receipt and fingerprint a command left in the log.
pub(crate) fn command(shared: &Shared, id: &[u8; 16]) -> Result<Option<KnownCommand>, ReadError> {
    let place = lookup::command(shared, shared.keyer.command(id))?;
    place.map(|place| command_at(shared, &place, id)).transpose()
}

/// What a command left in the batch it wrote.
pub(crate) fn command_at(shared: &Shared, place: &BatchPlace, id: &[u8; 16]) -> Result<KnownCommand, ReadError> {
    let segment = shared.segment(place.segment)?;
    let head = read_head(&segment, place)?;
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
    Ok(KnownCommand { fingerprint: record.fingerprint, receipt })
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
pub(crate) struct Gathered<'a> {
    shared: &'a Shared,
    wanted: Vec<Wanted>,
    /// Events still wanted.
    left: usize,
    /// Bytes still wanted; a long batch counts as little until its head says more.
    budget: usize,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(shared: &'a Shared, limit: usize) -> Self {
        Gathered { shared, wanted: Vec::new(), left: limit, budget: shared.options.page_bytes_max }
    }

    /// How many events it still wants.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn wants_more(&self) -> bool {
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

    /// Adds positions in the direction of the read; returns the first that there was no more room for.
    pub(crate) fn push_all(&mut self, places: &[(u64, BatchPlace)], direction: Direction) -> Option<u64> {
        let mut rest = places;
        while let Some((position, place)) = rest.first() {
            if !self.wants_more() {
                return Some(*position);
            }
            // Neighbours in one batch are one piece.
            let alike = rest.iter().take(self.left).zip(0..).take_while(|((other, of), away)| {
                let there = match direction {
                    Direction::Forward => position.checked_add(*away),
                    Direction::Backward => position.checked_sub(*away),
                };
                of.first == place.first && there == Some(*other)
            });
            let count = alike.count();
            let last = rest[count - 1].0;
            let pieces = self.wanted.len();
            self.push(*place, last.min(*position), last.max(*position));
            if self.wanted.len() == pieces {
                return Some(*position);
            }
            rest = &rest[count..];
        }
        None
    }

    /// Reads and checks it all; whether all that was gathered is there.
    pub(crate) fn load(self, direction: Direction) -> Result<(Vec<StoredEvent>, bool), ReadError> {
        let mut plan = Plan { shared: self.shared, stretches: Vec::new(), placed: Vec::new(), length: 0 };
        let mut budget = self.shared.options.page_bytes_max;
        let mut whole = true;
        for wanted in self.wanted {
            whole = plan.add(wanted, direction, &mut budget)?;
            if !whole {
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
        Ok((events, whole))
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
        let last = self.placed.last().filter(|last| whole && last.wanted.place == place);
        if let Some(&Placed { head_at, skipped, .. }) = last {
            // Another piece of the batch before: it is there already.
            self.placed.push(Placed { wanted, segment, head_at, skipped });
            return Ok(true);
        }
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
