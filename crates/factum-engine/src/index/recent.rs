//! The index of one segment, in memory.

use super::key::{BatchKeys, Key};
use super::{BatchPlace, NOT_COUNTED, Postings};

/// Batches in one piece of the table: pieces never move, so that growing it never copies it.
const CHUNK_BATCHES: usize = 4096;
/// Slots a table begins with.
const SLOTS_MIN: usize = 64;

/// Where the events of one key stand.
struct Entry {
    key: Key,
    /// Of a stream, its version before the first of them; else [`NOT_COUNTED`].
    base: u64,
    places: Places,
}

/// Positions, counted from the segment's first. Most keys have few.
enum Places {
    Few([u32; 3], u8),
    Many(Vec<u32>),
}

impl Places {
    fn as_slice(&self) -> &[u32] {
        match self {
            Places::Few(places, count) => &places[..usize::from(*count)],
            Places::Many(places) => places,
        }
    }

    fn push(&mut self, place: u32) {
        match self {
            Places::Few(places, count) if usize::from(*count) < places.len() => {
                places[usize::from(*count)] = place;
                *count += 1;
            }
            Places::Few(places, _) => {
                let mut many = Vec::with_capacity(places.len() * 2);
                many.extend_from_slice(places);
                many.push(place);
                *self = Places::Many(many);
            }
            Places::Many(places) => places.push(place),
        }
    }
}

/// The index of one segment, while it has no file.
pub(crate) struct Recent {
    pub(crate) segment: u32,
    /// Position of the segment's first event, there or not.
    pub(crate) first: u64,
    /// Position of its last event; one less than `first` when there is none.
    pub(crate) last: u64,
    entries: Vec<Entry>,
    /// Open addressing by the low bits of the key: number of an entry, from 1; 0 is empty. A power of two.
    slots: Vec<u32>,
    batches: Vec<Vec<BatchPlace>>,
}

impl Recent {
    /// For a segment that begins at a position and may have about so many keys.
    pub(crate) fn new(segment: u32, first: u64, keys: usize) -> Self {
        let slots = vec![0; (keys * 2).next_power_of_two().max(SLOTS_MIN)];
        Recent { segment, first, last: first - 1, entries: Vec::new(), slots, batches: Vec::new() }
    }

    /// Keys in it.
    pub(crate) fn keys(&self) -> usize {
        self.entries.len()
    }

    /// Adds the batch after the last. Streams come with their versions before it.
    pub(crate) fn add(&mut self, place: BatchPlace, keys: &BatchKeys, bases: impl Iterator<Item = u64>) {
        assert_eq!(place.first, self.last + 1, "positions are dense");
        assert_eq!(place.segment, self.segment, "a segment has its own index");
        let start = (place.first - self.first) as u32;
        let mut next = start;
        for (stream, base) in keys.streams.iter().zip(bases) {
            if stream.events == 0 {
                continue;
            }
            let entry = self.entry(stream.key, base);
            assert_eq!(entry.base + entry.places.as_slice().len() as u64, base, "versions are dense");
            for place in next..next + u32::from(stream.events) {
                entry.places.push(place);
            }
            next += u32::from(stream.events);
        }
        assert_eq!(next - start, u32::from(place.events), "every event belongs to a stream");
        for (ordinal, key) in &keys.events {
            let at = start + u32::from(*ordinal);
            let places = &mut self.entry(*key, NOT_COUNTED).places;
            // An event may carry a tag twice.
            if places.as_slice().last() != Some(&at) {
                places.push(at);
            }
        }
        if let Some(command) = keys.command {
            self.entry(command, NOT_COUNTED).places.push(start);
        }
        if self.batches.last().is_none_or(|chunk| chunk.len() == CHUNK_BATCHES) {
            self.batches.push(Vec::with_capacity(CHUNK_BATCHES));
        }
        if let Some(chunk) = self.batches.last_mut() {
            chunk.push(place);
        }
        self.last = place.last();
    }

    /// Whether a stream's versions before a batch are those after the one before it, as far as this segment knows.
    pub(crate) fn continues(&self, stream: Key, base: u64) -> bool {
        self.postings(stream).is_none_or(|postings| postings.base + postings.places.len() as u64 == base)
    }

    fn slot(&self, key: Key) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = key.0 as usize & mask;
        while self.slots[slot] != 0 && self.entries[self.slots[slot] as usize - 1].key != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn entry(&mut self, key: Key, base: u64) -> &mut Entry {
        let slot = self.slot(key);
        let number = match self.slots[slot] {
            0 => {
                self.entries.push(Entry { key, base, places: Places::Few([0; 3], 0) });
                let number = self.entries.len();
                self.slots[slot] = number as u32;
                if number * 2 > self.slots.len() {
                    self.grow();
                }
                number
            }
            number => number as usize,
        };
        &mut self.entries[number - 1]
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for number in 0..self.entries.len() {
            let slot = self.slot(self.entries[number].key);
            self.slots[slot] = number as u32 + 1;
        }
    }

    /// Where the events of a key stand.
    pub(crate) fn postings(&self, key: Key) -> Option<Postings<'_>> {
        let number = self.slots[self.slot(key)] as usize;
        let entry = &self.entries[number.checked_sub(1)?];
        Some(Postings { base: entry.base, first: self.first, places: entry.places.as_slice() })
    }

    /// Every key with its postings, in the order of the keys.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = (Key, Postings<'_>)> {
        let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
        order.sort_unstable_by_key(|number| self.entries[*number as usize].key);
        order.into_iter().map(|number| {
            let entry = &self.entries[number as usize];
            (entry.key, Postings { base: entry.base, first: self.first, places: entry.places.as_slice() })
        })
    }

    pub(crate) fn holds(&self, position: u64) -> bool {
        (self.first..=self.last).contains(&position)
    }

    /// The batch that holds a position of this segment.
    pub(crate) fn batch_at(&self, position: u64) -> BatchPlace {
        let ordinal = self.ordinal(position);
        self.batches[ordinal / CHUNK_BATCHES][ordinal % CHUNK_BATCHES]
    }

    fn ordinal(&self, position: u64) -> usize {
        assert!(self.holds(position), "a position of this segment");
        let chunk = self.batches.partition_point(|chunk| chunk[0].first <= position) - 1;
        let within = self.batches[chunk].partition_point(|batch| batch.first <= position) - 1;
        chunk * CHUNK_BATCHES + within
    }

    /// Batches from the one that holds a position on.
    pub(crate) fn batches_from(&self, position: u64) -> impl Iterator<Item = BatchPlace> {
        let ordinals = self.ordinal(position)..;
        ordinals.map_while(|ordinal| self.batches.get(ordinal / CHUNK_BATCHES)?.get(ordinal % CHUNK_BATCHES).copied())
    }

    /// Batches from the one that holds a position down to the segment's first.
    pub(crate) fn batches_down_from(&self, position: u64) -> impl Iterator<Item = BatchPlace> {
        let ordinals = (0..=self.ordinal(position)).rev();
        ordinals.map(|ordinal| self.batches[ordinal / CHUNK_BATCHES][ordinal % CHUNK_BATCHES])
    }
}
