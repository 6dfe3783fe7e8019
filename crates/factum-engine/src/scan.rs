//! Walking a segment's groups, checking every byte of them.

use crate::format::SEGMENT_HEADER_BYTES;
use crate::format::batch::{BATCH_FIXED_BYTES, BatchHead, Link, check_record};
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::format::small::SegmentHeader;
use crate::index::ReadBatch;
use crate::index::key::Keyer;
use crate::index::recent::Recent;

/// The fault of a batch that is sound and does not follow the one before it: no torn write looks like that.
pub(crate) const BROKEN_CHAIN: &str = "the chain of hashes is broken";

/// Where a walk stands: behind the last sound group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) offset: u64,
    pub(crate) group: u64,
    pub(crate) head: u64,
    /// Hash of the last batch; kept up to date only by walks that check the chain.
    pub(crate) link: Link,
}

impl Cursor {
    /// At the first group of a segment.
    pub(crate) fn at_segment(first_group: u64, first: u64, previous: Link) -> Self {
        Cursor { offset: SEGMENT_HEADER_BYTES, group: first_group - 1, head: first - 1, link: previous }
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) what: &'static str,
}

/// A sound group.
pub(crate) struct Group {
    pub(crate) header: GroupHeader,
    /// Offsets of its batches in the segment.
    pub(crate) batches: Vec<u32>,
}

/// Whether a walk recomputes each batch's hash and compares it with what the next one carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    Checked,
    Skipped,
}

/// Checks the group at the cursor and moves the cursor behind it.
pub(crate) fn next_group(segment: &[u8], mask: u32, chain: Chain, cursor: &mut Cursor) -> Result<Group, Fault> {
    next_group_in(segment, 0, mask, chain, cursor)
}

/// The same with only a part of the segment at hand, which begins at the offset `base`.
pub(crate) fn next_group_in(
    part: &[u8],
    base: u64,
    mask: u32,
    chain: Chain,
    cursor: &mut Cursor,
) -> Result<Group, Fault> {
    let start = (cursor.offset - base) as usize;
    let position = cursor.head + 1;
    let fault = |at: usize, position, what| Fault { offset: base + at as u64, position, what };
    let header = part.get(start..).and_then(|bytes| GroupHeader::read(bytes, cursor.offset, mask)).ok_or(fault(
        start,
        position,
        "no group where one should be",
    ))?;
    if header.number != cursor.group + 1 || header.first != position {
        return Err(fault(start, position, "a group out of order"));
    }
    let end = start + header.length as usize;
    let bytes = part.get(..end).ok_or(fault(start, position, "a group reaches beyond its segment"))?;

    let (mut at, mut next, mut link) = (start + GROUP_HEADER_BYTES, position, cursor.link);
    // A number that was never written by us must not be believed before its batches are there.
    let mut batches = Vec::with_capacity((header.batches as usize).min(bytes.len() / BATCH_FIXED_BYTES));
    for _ in 0..header.batches {
        let head = BatchHead::read(&bytes[at..], mask).map_err(|what| fault(at, next, what))?;
        let length = head.length as usize;
        if at + length > end {
            return Err(fault(at, next, "a batch reaches beyond its group"));
        }
        if head.first != next {
            return Err(fault(at, next, "a batch out of order"));
        }
        for ordinal in 0..head.events {
            let record = head.record(ordinal);
            let place = at + record.start;
            check_record(&bytes[place..at + record.end], mask)
                .map_err(|what| fault(place, next + u64::from(ordinal), what))?;
        }
        if chain == Chain::Checked {
            if head.previous() != link {
                return Err(fault(at, next, BROKEN_CHAIN));
            }
            link = head.link(&bytes[at..]);
        }
        next = head.last() + 1;
        batches.push((base as usize + at) as u32);
        at += length;
    }
    if at != end || next - position != u64::from(header.events) {
        return Err(fault(at, next, "a group is not as long as it says"));
    }
    *cursor = Cursor { offset: base + end as u64, group: header.number, head: next - 1, link };
    Ok(Group { header, batches })
}

/// Adds the batches of a sound group to the index of its segment.
pub(crate) fn index_group(
    keyer: &Keyer,
    segment: &[u8],
    mask: u32,
    group: &Group,
    recent: &mut Recent,
) -> Result<(), Fault> {
    for at in &group.batches {
        let fault = |what| Fault { offset: u64::from(*at), position: group.header.first, what };
        let batch = ReadBatch::read(keyer, &segment[*at as usize..], mask, recent.segment, *at).map_err(fault)?;
        let mut versions = batch.keys.streams.iter().zip(&batch.bases);
        if !versions.all(|(stream, base)| recent.continues(stream.key, *base)) {
            return Err(fault("versions of a stream are not dense"));
        }
        recent.add(batch.place, &batch.keys, batch.bases.iter().copied());
    }
    Ok(())
}

/// The index of a segment up to a position, all of which must be sound.
pub(crate) fn index_segment(
    keyer: &Keyer,
    segment: &[u8],
    mask: u32,
    header: &SegmentHeader,
    last: u64,
) -> Result<Recent, Fault> {
    let mut cursor = Cursor::at_segment(header.first_group, header.first, header.previous);
    let mut recent = Recent::new(header.number, header.first, 0);
    while cursor.head < last {
        let group = next_group(segment, mask, Chain::Skipped, &mut cursor)?;
        index_group(keyer, segment, mask, &group, &mut recent)?;
    }
    if cursor.head > last {
        return Err(Fault { offset: cursor.offset, position: last + 1, what: "the segment does not end where it did" });
    }
    Ok(recent)
}
