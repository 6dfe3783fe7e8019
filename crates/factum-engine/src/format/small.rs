//! Frames of their own: the header of a segment and the small files beside the log.

use super::{array_at, checksum, put, u32_at, u64_at};
use crate::identity::{Fork, Identity};

/// Magic 8, format 4, checksum 4, length of the body 4, reserved 4.
pub(crate) const SMALL_HEADER_BYTES: usize = 24;

const SEGMENT_MAGIC: [u8; 8] = *b"FACTMSEG";
const IDENTITY_MAGIC: [u8; 8] = *b"FACTMIDY";
const CLOSED_MAGIC: [u8; 8] = *b"FACTMEND";
const PROGRESS_MAGIC: [u8; 8] = *b"FACTMPRO";
const HEAD_MAGIC: [u8; 8] = *b"FACTMHED";

/// Why a small frame cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    Newer(u32),
    Damaged,
}

pub(crate) fn seal(magic: [u8; 8], mask: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; SMALL_HEADER_BYTES];
    put(&mut bytes, 0, &magic);
    put(&mut bytes, 8, &super::FORMAT_VERSION.to_le_bytes());
    put(&mut bytes, 16, &(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    let crc = checksum(&bytes[16..], mask);
    put(&mut bytes, 12, &crc.to_le_bytes());
    bytes
}

pub(crate) fn open(magic: [u8; 8], mask: impl FnOnce(&[u8]) -> u32, bytes: &[u8]) -> Result<&[u8], Unusable> {
    if bytes.len() < SMALL_HEADER_BYTES || bytes[..8] != magic {
        return Err(Unusable::Damaged);
    }
    // Before anything else: a newer format may lay out all that follows differently.
    let format = u32_at(bytes, 8);
    if format > super::FORMAT_VERSION {
        return Err(Unusable::Newer(format));
    }
    // No format has this number, and the checksum does not cover it.
    if format == 0 {
        return Err(Unusable::Damaged);
    }
    let end = SMALL_HEADER_BYTES.saturating_add(u32_at(bytes, 16) as usize);
    let body = bytes.get(SMALL_HEADER_BYTES..end).ok_or(Unusable::Damaged)?;
    if u32_at(bytes, 12) != checksum(&bytes[16..end], mask(body)) {
        return Err(Unusable::Damaged);
    }
    Ok(body)
}

/// Header of a segment: in its first 4,096 bytes, the rest of which is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store: [u8; 16],
    pub(crate) incarnation: [u8; 16],
    pub(crate) number: u32,
    /// Length of the file: filled with zeros, and synced, before the header is written.
    pub(crate) size: u64,
    /// Number its first group has or will have; all before it were synced when the header was written.
    pub(crate) first_group: u64,
    pub(crate) first: u64,
    /// Hash of the last batch before it.
    pub(crate) previous: [u8; 32],
}

const SEGMENT_BODY_BYTES: usize = 96;

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = [0; SEGMENT_BODY_BYTES];
        put(&mut body, 0, &self.store);
        put(&mut body, 16, &self.incarnation);
        put(&mut body, 32, &self.number.to_le_bytes());
        put(&mut body, 40, &self.size.to_le_bytes());
        put(&mut body, 48, &self.first_group.to_le_bytes());
        put(&mut body, 56, &self.first.to_le_bytes());
        put(&mut body, 64, &self.previous);
        seal(SEGMENT_MAGIC, super::mask(&self.incarnation, self.number), &body)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unusable> {
        let mask = |body: &[u8]| match body.len() {
            SEGMENT_BODY_BYTES => super::mask(&array_at(body, 16), u32_at(body, 32)),
            _ => 0,
        };
        let body = open(SEGMENT_MAGIC, mask, bytes)?;
        if body.len() != SEGMENT_BODY_BYTES {
            return Err(Unusable::Damaged);
        }
        Ok(SegmentHeader {
            store: array_at(body, 0),
            incarnation: array_at(body, 16),
            number: u32_at(body, 32),
            size: u64_at(body, 40),
            first_group: u64_at(body, 48),
            first: u64_at(body, 56),
            previous: array_at(body, 64),
        })
    }
}

const FORK_BYTES: usize = 56;

pub(crate) fn encode_identity(identity: &Identity) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&identity.store);
    body.extend_from_slice(&identity.incarnation);
    body.extend_from_slice(&identity.key);
    for fork in &identity.forks {
        body.extend_from_slice(&fork.parent);
        body.extend_from_slice(&fork.position.get().to_le_bytes());
        body.extend_from_slice(&fork.hash);
    }
    seal(IDENTITY_MAGIC, 0, &body)
}

pub(crate) fn decode_identity(bytes: &[u8]) -> Result<Identity, Unusable> {
    let body = open(IDENTITY_MAGIC, |_| 0, bytes)?;
    if body.len() < 64 || !(body.len() - 64).is_multiple_of(FORK_BYTES) {
        return Err(Unusable::Damaged);
    }
    let forks = body[64..].chunks_exact(FORK_BYTES).map(|fork| Fork {
        parent: array_at(fork, 0),
        position: crate::Position::new(u64_at(fork, 16)),
        hash: array_at(fork, 24),
    });
    Ok(Identity {
        store: array_at(body, 0),
        incarnation: array_at(body, 16),
        key: array_at(body, 32),
        forks: forks.collect(),
    })
}

/// Where a log ends: what a clean close leaves behind, and what the head file says is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CloseMarker {
    pub(crate) segment: u32,
    /// End of the last group.
    pub(crate) offset: u64,
    pub(crate) group: u64,
    pub(crate) head: u64,
    pub(crate) link: [u8; 32],
}

const CLOSED_BODY_BYTES: usize = 64;

impl CloseMarker {
    fn body(&self) -> [u8; CLOSED_BODY_BYTES] {
        let mut body = [0; CLOSED_BODY_BYTES];
        put(&mut body, 0, &self.segment.to_le_bytes());
        put(&mut body, 8, &self.offset.to_le_bytes());
        put(&mut body, 16, &self.group.to_le_bytes());
        put(&mut body, 24, &self.head.to_le_bytes());
        put(&mut body, 32, &self.link);
        body
    }

    fn of_body(body: &[u8]) -> Result<Self, Unusable> {
        if body.len() != CLOSED_BODY_BYTES {
            return Err(Unusable::Damaged);
        }
        Ok(CloseMarker {
            segment: u32_at(body, 0),
            offset: u64_at(body, 8),
            group: u64_at(body, 16),
            head: u64_at(body, 24),
            link: array_at(body, 32),
        })
    }

    pub(crate) fn encode(&self, mask: u32) -> Vec<u8> {
        seal(CLOSED_MAGIC, mask, &self.body())
    }

    pub(crate) fn decode(bytes: &[u8], mask: u32) -> Result<Self, Unusable> {
        CloseMarker::of_body(open(CLOSED_MAGIC, |_| mask, bytes)?)
    }
}

/// One of the two slots of the head file: up to where the log is known durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadSlot {
    pub(crate) store: [u8; 16],
    pub(crate) incarnation: [u8; 16],
    /// Counts the writes of the file: the sound slot with the higher number holds.
    pub(crate) write: u64,
    pub(crate) end: CloseMarker,
}

const HEAD_FIXED_BYTES: usize = 40;

impl HeadSlot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = [0; HEAD_FIXED_BYTES + CLOSED_BODY_BYTES];
        put(&mut body, 0, &self.store);
        put(&mut body, 16, &self.incarnation);
        put(&mut body, 32, &self.write.to_le_bytes());
        put(&mut body, HEAD_FIXED_BYTES, &self.end.body());
        seal(HEAD_MAGIC, 0, &body)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unusable> {
        let body = open(HEAD_MAGIC, |_| 0, bytes)?;
        let (fixed, end) = body.split_at_checked(HEAD_FIXED_BYTES).ok_or(Unusable::Damaged)?;
        Ok(HeadSlot {
            store: array_at(fixed, 0),
            incarnation: array_at(fixed, 16),
            write: u64_at(fixed, 32),
            end: CloseMarker::of_body(end)?,
        })
    }
}

/// One of the two slots of a progress file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgressSlot {
    /// Counts the writes of the file: the sound slot with the higher number holds.
    pub(crate) write: u64,
    pub(crate) epoch: u64,
    pub(crate) name: String,
    pub(crate) value: Option<Vec<u8>>,
}

const PROGRESS_FIXED_BYTES: usize = 24;

impl ProgressSlot {
    pub(crate) fn encode(&self, mask: u32) -> Vec<u8> {
        let mut body = Vec::with_capacity(PROGRESS_FIXED_BYTES + self.name.len());
        body.extend_from_slice(&self.write.to_le_bytes());
        body.extend_from_slice(&self.epoch.to_le_bytes());
        body.extend_from_slice(&(self.name.len() as u32).to_le_bytes());
        body.extend_from_slice(&u32::from(self.value.is_some()).to_le_bytes());
        body.extend_from_slice(self.name.as_bytes());
        body.extend_from_slice(self.value.as_deref().unwrap_or_default());
        seal(PROGRESS_MAGIC, mask, &body)
    }

    pub(crate) fn decode(bytes: &[u8], mask: u32) -> Result<Self, Unusable> {
        let body = open(PROGRESS_MAGIC, |_| mask, bytes)?;
        if body.len() < PROGRESS_FIXED_BYTES {
            return Err(Unusable::Damaged);
        }
        let (name, value) =
            body[PROGRESS_FIXED_BYTES..].split_at_checked(u32_at(body, 16) as usize).ok_or(Unusable::Damaged)?;
        let name = str::from_utf8(name).map_err(|_| Unusable::Damaged)?;
        Ok(ProgressSlot {
            write: u64_at(body, 0),
            epoch: u64_at(body, 8),
            name: name.to_owned(),
            value: (u32_at(body, 20) != 0).then(|| value.to_vec()),
        })
    }
}
