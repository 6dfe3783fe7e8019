//! Header of a group: the frames written with one sync.

use super::{checksum, put, u32_at, u64_at};

pub(crate) const GROUP_HEADER_BYTES: usize = 64;
pub(crate) const GROUP_MAGIC: [u8; 4] = *b"FGRP";

/// What stands before the batches of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    /// Bytes of the group, this header included.
    pub(crate) length: u32,
    /// Where it stands in its segment, so that a copy inside an event's data is not taken for a group.
    pub(crate) offset: u32,
    /// Commit number, dense from 1.
    pub(crate) number: u64,
    /// The last group known synced when this one was written.
    pub(crate) synced_through: u64,
    pub(crate) first: u64,
    pub(crate) batches: u32,
    pub(crate) events: u32,
}

impl GroupHeader {
    pub(crate) fn write(&self, out: &mut [u8], mask: u32) {
        out[..GROUP_HEADER_BYTES].fill(0);
        put(out, 0, &GROUP_MAGIC);
        put(out, 8, &self.length.to_le_bytes());
        put(out, 12, &self.offset.to_le_bytes());
        put(out, 16, &self.number.to_le_bytes());
        put(out, 24, &self.synced_through.to_le_bytes());
        put(out, 32, &self.first.to_le_bytes());
        put(out, 40, &self.batches.to_le_bytes());
        put(out, 44, &self.events.to_le_bytes());
        let crc = checksum(&out[8..GROUP_HEADER_BYTES], mask);
        put(out, 4, &crc.to_le_bytes());
    }

    /// The header at the beginning of `bytes`, when its checksum holds and it says that it stands at `offset`.
    pub(crate) fn read(bytes: &[u8], offset: u64, mask: u32) -> Option<GroupHeader> {
        if bytes.len() < GROUP_HEADER_BYTES || bytes[..4] != GROUP_MAGIC {
            return None;
        }
        if u32_at(bytes, 4) != checksum(&bytes[8..GROUP_HEADER_BYTES], mask) {
            return None;
        }
        let header = GroupHeader {
            length: u32_at(bytes, 8),
            offset: u32_at(bytes, 12),
            number: u64_at(bytes, 16),
            synced_through: u64_at(bytes, 24),
            first: u64_at(bytes, 32),
            batches: u32_at(bytes, 40),
            events: u32_at(bytes, 44),
        };
        let sound = u64::from(header.offset) == offset
            && header.length as usize > GROUP_HEADER_BYTES
            && header.synced_through < header.number
            && header.batches > 0;
        sound.then_some(header)
    }
}

/// Whether some group at `from` or behind it says that the group numbered `number` was synced.
pub(crate) fn proves_synced(segment: &[u8], from: usize, number: u64, mask: u32) -> bool {
    let mut at = from;
    while at + GROUP_HEADER_BYTES <= segment.len() {
        let Some(step) = segment[at..].iter().position(|byte| *byte == GROUP_MAGIC[0]) else {
            break;
        };
        at += step;
        let header = GroupHeader::read(&segment[at..], at as u64, mask);
        if header.is_some_and(|header| header.synced_through >= number) {
            return true;
        }
        at += 1;
    }
    false
}
