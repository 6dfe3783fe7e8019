//! How bytes lie in the files. The page `docs/data-format.md` shows the same as tables.
//!
//! Numbers are little-endian. Checksums are CRC32C, combined with a mask made of the incarnation and the segment's
//! number, so that bytes of another store, or of an earlier use of the same blocks, never pass.

pub(crate) mod batch;
pub(crate) mod encode;
pub(crate) mod group;
pub(crate) mod small;

/// Newest format this program reads, and the one it writes.
pub const FORMAT_VERSION: u32 = 1;

/// The bytes of a segment before its first group.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 4096;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// What every checksum of a segment is combined with; segment 0 stands for the files beside the log.
pub(crate) fn mask(incarnation: &[u8; 16], segment: u32) -> u32 {
    let mut input = [0; 20];
    input[..16].copy_from_slice(incarnation);
    put(&mut input, 16, &segment.to_le_bytes());
    u32_at(blake3::hash(&input).as_bytes(), 0)
}

pub(crate) fn checksum(bytes: &[u8], mask: u32) -> u32 {
    crc32c::crc32c(bytes) ^ mask
}
