//! Checksums made to fit again, as far as the bytes still have the shape of what they were. Nothing here is trusted: a
//! length that leads nowhere ends the mending.

use std::ops::Range;

use crate::format::batch::BATCH_FIXED_BYTES;
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_MAGIC};
use crate::format::small::SMALL_HEADER_BYTES;
use crate::format::{SEGMENT_HEADER_BYTES, checksum, put, u16_at, u32_at};
use crate::index::block::BLOCK_BYTES;

/// A small file's, over its header from 16 and its body.
pub(super) fn small(bytes: &mut [u8], mask: u32) {
    small_by(bytes, |_| mask);
}

/// A small file's whose mask is made of its body.
pub(super) fn small_by(bytes: &mut [u8], mask: impl Fn(&[u8]) -> u32) {
    if bytes.len() < SMALL_HEADER_BYTES {
        return;
    }
    let end = SMALL_HEADER_BYTES.saturating_add(u32_at(bytes, 16) as usize).min(bytes.len());
    let crc = checksum(&bytes[16..end], mask(&bytes[SMALL_HEADER_BYTES..end]));
    put(bytes, 12, &crc.to_le_bytes());
}

pub(super) fn group_header(bytes: &mut [u8], mask: u32) {
    if bytes.len() >= GROUP_HEADER_BYTES {
        let crc = checksum(&bytes[8..GROUP_HEADER_BYTES], mask);
        put(bytes, 4, &crc.to_le_bytes());
    }
}

/// Where a batch's records stand, by its table.
pub(super) fn records(batch: &[u8]) -> Vec<Range<usize>> {
    if batch.len() < BATCH_FIXED_BYTES {
        return Vec::new();
    }
    let (events, streams) = (usize::from(u16_at(batch, 64)), usize::from(u16_at(batch, 66)));
    let starts_at = BATCH_FIXED_BYTES + if u16_at(batch, 68) & 1 == 0 { 0 } else { 32 } + streams * 10;
    let start = |index: usize| {
        let at = starts_at + index * 4;
        (at + 4 <= batch.len()).then(|| u32_at(batch, at) as usize)
    };
    let end = (u32_at(batch, 8) as usize).min(batch.len());
    let ranges = (0..events)
        .map_while(|index| Some(start(index)?..start(index + 1).filter(|_| index + 1 < events).unwrap_or(end)));
    ranges.take_while(|range| range.start < range.end && range.end <= batch.len()).collect()
}

/// A batch's: those of its records and that of its head.
pub(super) fn batch(bytes: &mut [u8], mask: u32) {
    for range in records(bytes) {
        record(&mut bytes[range], mask);
    }
    if bytes.len() >= BATCH_FIXED_BYTES {
        let head_bytes = (u32_at(bytes, 12) as usize).clamp(8, bytes.len());
        let crc = checksum(&bytes[8..head_bytes], mask);
        put(bytes, 4, &crc.to_le_bytes());
    }
}

pub(super) fn record(bytes: &mut [u8], mask: u32) {
    if bytes.len() >= 8 {
        let crc = checksum(&bytes[4..], mask);
        put(bytes, 0, &crc.to_le_bytes());
    }
}

/// An index file's: those of its header and of each block behind it.
pub(super) fn index(bytes: &mut [u8], mask: u32) {
    for (number, block) in bytes.chunks_mut(BLOCK_BYTES).enumerate() {
        if number == 0 {
            small(block, mask);
        } else {
            index_block(block, mask);
        }
    }
}

pub(super) fn index_block(bytes: &mut [u8], mask: u32) {
    if bytes.len() == BLOCK_BYTES {
        let crc = checksum(&bytes[4..], mask);
        put(bytes, 0, &crc.to_le_bytes());
    }
}

/// Where a segment's groups stand, by their lengths.
pub(super) fn groups(segment: &[u8]) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut at = SEGMENT_HEADER_BYTES as usize;
    while segment.get(at..at + 4) == Some(&GROUP_MAGIC) && at + GROUP_HEADER_BYTES <= segment.len() {
        let end = (at + u32_at(segment, at + 8) as usize).min(segment.len());
        if end < at + GROUP_HEADER_BYTES {
            break;
        }
        groups.push(at..end);
        at = end;
    }
    groups
}

/// A segment's, but for that of its own header.
pub(super) fn segment(bytes: &mut [u8], mask: u32) {
    for group in groups(bytes) {
        let group = &mut bytes[group];
        let mut at = GROUP_HEADER_BYTES;
        while at + BATCH_FIXED_BYTES <= group.len() {
            let length = u32_at(group, at + 8) as usize;
            let end = at.saturating_add(length).min(group.len());
            if end <= at {
                break;
            }
            batch(&mut group[at..end], mask);
            at = end;
        }
        group_header(group, mask);
    }
}
