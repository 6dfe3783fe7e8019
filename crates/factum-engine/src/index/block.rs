//! Blocks: the unit in which index files are checked, read and cached. `docs/data-format.md` shows them as tables.

use super::key::Key;
use super::{BatchPlace, NOT_COUNTED};
use crate::format::{checksum, put, u16_at, u32_at, u64_at};

pub(crate) const BLOCK_BYTES: usize = 4096;
/// Checksum 4, number of the block 4, kind 1, zero 1, count 2, word 4.
const HEAD_BYTES: usize = 16;

/// What a block holds. Part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Batches = 1,
    Filter = 2,
    Keys = 3,
    Fences = 4,
}

/// A block being written.
pub(crate) type NewBlock = [u8; BLOCK_BYTES];

fn seal(block: &mut NewBlock, kind: Kind, number: u32, count: u16, word: u32, mask: u32) {
    put(block, 4, &number.to_le_bytes());
    block[8] = kind as u8;
    put(block, 10, &count.to_le_bytes());
    put(block, 12, &word.to_le_bytes());
    let crc = checksum(&block[4..], mask);
    put(block, 0, &crc.to_le_bytes());
}

/// Whether a block is the one that was written there.
pub(crate) fn check(block: &[u8], kind: Kind, number: u32, mask: u32) -> bool {
    block.len() == BLOCK_BYTES
        && u32_at(block, 0) == checksum(&block[4..], mask)
        && u32_at(block, 4) == number
        && block[8] == kind as u8
}

fn count(block: &[u8]) -> usize {
    usize::from(u16_at(block, 10))
}

// --- Batches: where each batch of one segment stands.

/// Position of the first event 8, position behind the last 8.
const BATCHES_HEAD_BYTES: usize = HEAD_BYTES + 16;
/// Position from the block's first 4, offset 4, length 4.
const BATCH_BYTES: usize = 12;
pub(crate) const BLOCK_BATCHES: usize = (BLOCK_BYTES - BATCHES_HEAD_BYTES) / BATCH_BYTES;

/// Writes batches of one segment, at most [`BLOCK_BATCHES`] of them.
pub(crate) fn write_batches(batches: &[BatchPlace], number: u32, mask: u32) -> NewBlock {
    let mut block = [0; BLOCK_BYTES];
    let (first, last) = (batches[0], batches[batches.len() - 1]);
    put(&mut block, 16, &first.first.to_le_bytes());
    put(&mut block, 24, &(last.last() + 1).to_le_bytes());
    for (index, batch) in batches.iter().enumerate() {
        let at = BATCHES_HEAD_BYTES + index * BATCH_BYTES;
        put(&mut block, at, &((batch.first - first.first) as u32).to_le_bytes());
        put(&mut block, at + 4, &batch.offset.to_le_bytes());
        put(&mut block, at + 8, &batch.length.to_le_bytes());
    }
    seal(&mut block, Kind::Batches, number, batches.len() as u16, first.segment, mask);
    block
}

/// The same batches as another block.
pub(crate) fn renumber_batches(block: &[u8], number: u32, mask: u32) -> NewBlock {
    let mut copy = [0; BLOCK_BYTES];
    copy.copy_from_slice(block);
    seal(&mut copy, Kind::Batches, number, u16_at(block, 10), u32_at(block, 12), mask);
    copy
}

/// A checked block of batches.
#[derive(Clone, Copy)]
pub(crate) struct Batches<'a>(pub(crate) &'a [u8]);

impl Batches<'_> {
    pub(crate) fn first(self) -> u64 {
        u64_at(self.0, 16)
    }

    /// The position behind its last event.
    pub(crate) fn end(self) -> u64 {
        u64_at(self.0, 24)
    }

    pub(crate) fn count(self) -> usize {
        count(self.0).min(BLOCK_BATCHES)
    }

    fn first_of(self, index: usize) -> u64 {
        self.first().saturating_add(u64::from(u32_at(self.0, BATCHES_HEAD_BYTES + index * BATCH_BYTES)))
    }

    pub(crate) fn get(self, index: usize) -> BatchPlace {
        let at = BATCHES_HEAD_BYTES + index * BATCH_BYTES;
        let first = self.first_of(index);
        let end = if index + 1 < self.count() { self.first_of(index + 1) } else { self.end() };
        BatchPlace {
            first,
            segment: u32_at(self.0, 12),
            offset: u32_at(self.0, at + 4),
            length: u32_at(self.0, at + 8),
            events: end.saturating_sub(first) as u16,
        }
    }

    /// Number of the batch that holds a position.
    pub(crate) fn find(self, position: u64) -> Option<usize> {
        if !(self.first()..self.end()).contains(&position) {
            return None;
        }
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if self.first_of(middle) <= position { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
    }
}

// --- Filter: whether a key may be there.

const FILTER_BITS: u64 = ((BLOCK_BYTES - HEAD_BYTES) * 8) as u64;
/// Bits of a filter for each key, on average.
const FILTER_BITS_PER_KEY: u64 = 10;
/// Bits set for each key.
const FILTER_PROBES: u64 = 7;

/// Blocks of a filter for at most so many keys.
pub(crate) fn filter_blocks(keys: u64) -> u32 {
    (keys * FILTER_BITS_PER_KEY).div_ceil(FILTER_BITS).max(1) as u32
}

/// Which of so many blocks of a filter is a key's: in the order of the keys.
pub(crate) fn filter_block_of(key: Key, blocks: u32) -> u32 {
    (((key.0 >> 64) * u128::from(blocks)) >> 64) as u32
}

fn filter_bits(key: Key) -> impl Iterator<Item = (usize, u8)> {
    let (one, two) = (key.0 as u32, ((key.0 >> 32) as u32) | 1);
    (0..FILTER_PROBES).map(move |probe| {
        let spread = one.wrapping_add(two.wrapping_mul(probe as u32));
        let bit = (u64::from(spread) * FILTER_BITS) >> 32;
        (HEAD_BYTES + (bit / 8) as usize, 1 << (bit % 8))
    })
}

pub(crate) fn filter_add(block: &mut NewBlock, key: Key) {
    for (at, bit) in filter_bits(key) {
        block[at] |= bit;
    }
}

pub(crate) fn seal_filter(block: &mut NewBlock, number: u32, mask: u32) {
    seal(block, Kind::Filter, number, 0, 0, mask);
}

/// `false` when the key is certainly not there.
pub(crate) fn filter_may_hold(block: &[u8], key: Key) -> bool {
    filter_bits(key).all(|(at, bit)| block[at] & bit != 0)
}

// --- Fences: the first entry of each block of another section.

/// Key 16, position 8, base 8.
const FENCE_BYTES: usize = 32;
pub(crate) const BLOCK_FENCES: usize = (BLOCK_BYTES - HEAD_BYTES) / FENCE_BYTES;

/// The first entry of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) key: Key,
    /// Its first position.
    pub(crate) first: u64,
    /// Of a stream, the version before that.
    pub(crate) base: u64,
}

/// Writes at most [`BLOCK_FENCES`] of them.
pub(crate) fn write_fences(fences: &[Fence], number: u32, mask: u32) -> NewBlock {
    let mut block = [0; BLOCK_BYTES];
    for (index, fence) in fences.iter().enumerate() {
        let at = HEAD_BYTES + index * FENCE_BYTES;
        put(&mut block, at, &fence.key.0.to_be_bytes());
        put(&mut block, at + 16, &fence.first.to_le_bytes());
        put(&mut block, at + 24, &fence.base.to_le_bytes());
    }
    seal(&mut block, Kind::Fences, number, fences.len() as u16, 0, mask);
    block
}

/// A checked block of fences.
#[derive(Clone, Copy)]
pub(crate) struct Fences<'a>(pub(crate) &'a [u8]);

impl Fences<'_> {
    pub(crate) fn count(self) -> usize {
        count(self.0).min(BLOCK_FENCES)
    }

    pub(crate) fn get(self, index: usize) -> Fence {
        let at = HEAD_BYTES + index * FENCE_BYTES;
        Fence { key: key_at(self.0, at), first: u64_at(self.0, at + 16), base: u64_at(self.0, at + 24) }
    }

    /// How many fences from the first on satisfy a condition that all before such a one satisfy as well.
    pub(crate) fn partition(self, holds: impl Fn(&Fence) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if holds(&self.get(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

fn key_at(block: &[u8], at: usize) -> Key {
    Key(u128::from_be_bytes(crate::format::array_at(block, at)))
}

// --- Keys: what a key is found at. Entries from the front, their offsets from the back.

/// Bytes of positions after which a long list goes on in another entry.
pub(crate) const ENTRY_DELTA_BYTES_MAX: usize = 1_000;
/// Key, and four numbers of at most ten bytes.
const ENTRY_HEAD_BYTES_MAX: usize = 16 + 4 * 10;
const OFFSET_BYTES: usize = 2;

pub(crate) fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn number_at(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

/// A block of keys being written.
pub(crate) struct KeysBuilder {
    block: Box<NewBlock>,
    used: usize,
    count: usize,
}

impl KeysBuilder {
    pub(crate) fn new() -> Self {
        KeysBuilder { block: Box::new([0; BLOCK_BYTES]), used: HEAD_BYTES, count: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an entry; `false` when there is no room for it.
    pub(crate) fn push(&mut self, entry: &NewEntry, file_first: u64) -> bool {
        assert!(entry.count > 0 && entry.deltas.len() <= ENTRY_DELTA_BYTES_MAX + 10, "an entry has its limits");
        let mut head = Vec::with_capacity(ENTRY_HEAD_BYTES_MAX);
        head.extend_from_slice(&entry.fence.key.0.to_be_bytes());
        let counted = entry.fence.base != NOT_COUNTED;
        push_number(&mut head, u64::from(entry.count) << 1 | u64::from(counted));
        if counted {
            push_number(&mut head, entry.fence.base);
        }
        push_number(&mut head, entry.fence.first - file_first);
        let end = self.used + head.len() + entry.deltas.len();
        if end + (self.count + 1) * OFFSET_BYTES > BLOCK_BYTES {
            return false;
        }
        let offset_at = BLOCK_BYTES - (self.count + 1) * OFFSET_BYTES;
        put(&mut *self.block, offset_at, &(self.used as u16).to_le_bytes());
        put(&mut *self.block, self.used, &head);
        put(&mut *self.block, self.used + head.len(), &entry.deltas);
        self.used = end;
        self.count += 1;
        true
    }

    /// The block, and an empty one in its place.
    pub(crate) fn finish(&mut self, number: u32, mask: u32) -> Box<NewBlock> {
        let mut finished = std::mem::replace(self, KeysBuilder::new());
        seal(&mut finished.block, Kind::Keys, number, finished.count as u16, finished.used as u32, mask);
        finished.block
    }
}

/// An entry being written: a key and positions, the first of them in the fence.
pub(crate) struct NewEntry {
    pub(crate) fence: Fence,
    pub(crate) count: u32,
    /// Distances from each position to the next.
    pub(crate) deltas: Vec<u8>,
}

/// An entry's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) fence: Fence,
    pub(crate) count: u32,
    deltas_at: usize,
}

/// A checked block of keys. What cannot have been written reads as `None`.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) block: &'a [u8],
    pub(crate) file_first: u64,
}

impl Keys<'_> {
    pub(crate) fn count(self) -> usize {
        count(self.block).min((BLOCK_BYTES - HEAD_BYTES) / OFFSET_BYTES)
    }

    fn offset(self, index: usize) -> usize {
        usize::from(u16_at(self.block, BLOCK_BYTES - (index + 1) * OFFSET_BYTES))
    }

    pub(crate) fn get(self, index: usize) -> Option<Entry> {
        let mut at = self.offset(index);
        let key = self.block.get(at..at + 16).map(|_| key_at(self.block, at))?;
        at += 16;
        let counts = number_at(self.block, &mut at)?;
        let base = if counts & 1 == 1 { number_at(self.block, &mut at)? } else { NOT_COUNTED };
        let first = self.file_first.checked_add(number_at(self.block, &mut at)?)?;
        let count = u32::try_from(counts >> 1).ok()?;
        Some(Entry { fence: Fence { key, first, base }, count, deltas_at: at })
    }

    /// The positions of an entry.
    pub(crate) fn positions(self, entry: &Entry) -> Option<Vec<u64>> {
        let (mut at, mut position) = (entry.deltas_at, entry.fence.first);
        let mut positions = Vec::with_capacity((entry.count as usize).min(BLOCK_BYTES));
        positions.push(position);
        for _ in 1..entry.count {
            position = position.checked_add(number_at(self.block, &mut at)?)?;
            positions.push(position);
        }
        Some(positions)
    }

    /// How many entries from the first on satisfy a condition that all before such a one satisfy as well.
    pub(crate) fn partition(self, holds: impl Fn(&Fence) -> bool) -> Option<usize> {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if holds(&self.get(middle)?.fence) { low = middle + 1 } else { high = middle }
        }
        Some(low)
    }
}
