//! A batch: one append. Its head names streams, versions and records; the records follow.

use std::ops::Range;

use super::encode::EncodedBatch;
use super::{array_at, checksum, put, u16_at, u32_at, u64_at};
use crate::append::CommandRecord;
use crate::options::BATCH_BYTES_MAX;

pub(crate) const BATCH_MAGIC: [u8; 4] = *b"FBAT";
pub(crate) const BATCH_FIXED_BYTES: usize = 72;
pub(crate) const COMMAND_BYTES: usize = 32;
pub(crate) const STREAM_BASE_BYTES: usize = 8;
pub(crate) const RECORD_FIXED_BYTES: usize = 36;
pub(crate) const FLAG_COMMAND: u16 = 1;

/// Hash of a batch, over its predecessor's: what the next batch carries.
pub(crate) type Link = [u8; 32];
/// What the first batch of a store carries.
pub(crate) const GENESIS: Link = [0; 32];

/// Hash of a batch from what the writer assigned and the digest of the rest.
fn link(previous: &Link, first: u64, bases: &[u8], digest: &[u8; 32]) -> Link {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous).update(&first.to_le_bytes()).update(bases).update(digest);
    *hasher.finalize().as_bytes()
}

/// Appends a batch to a group, with what the writer assigns to it; returns its hash.
///
/// Checksums are completed by [`seal`], once the segment is known.
pub(crate) fn place(
    batch: &EncodedBatch,
    first: u64,
    bases: impl Iterator<Item = u64>,
    previous: &Link,
    group: &mut Vec<u8>,
) -> Link {
    let at = group.len();
    group.extend_from_slice(&batch.bytes);
    let bytes = &mut group[at..];
    put(bytes, 16, &first.to_le_bytes());
    put(bytes, 32, previous);
    let mut end = batch.bases_at;
    for base in bases {
        put(bytes, end, &base.to_le_bytes());
        end += STREAM_BASE_BYTES;
    }
    link(previous, first, &bytes[batch.bases_at..end], &batch.digest)
}

/// Completes the checksums of a placed batch for the segment with this mask.
pub(crate) fn seal(batch: &EncodedBatch, bytes: &mut [u8], mask: u32) {
    for index in 0..batch.events as usize {
        let start = u32_at(bytes, batch.starts_at + index * 4) as usize;
        let crc = u32_at(bytes, start) ^ mask;
        put(bytes, start, &crc.to_le_bytes());
    }
    let head_bytes = u32_at(bytes, 12) as usize;
    let crc = checksum(&bytes[8..head_bytes], mask);
    put(bytes, 4, &crc.to_le_bytes());
}

/// A stream of a batch: `events` of the batch's records, from the one numbered `ordinal`, belong to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchStream<'a> {
    pub(crate) name: &'a str,
    /// Where the name stands in the head.
    pub(crate) name_at: usize,
    /// Version before the batch.
    pub(crate) base: u64,
    pub(crate) events: u16,
    pub(crate) ordinal: u16,
}

/// A checked head of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchHead<'a> {
    head: &'a [u8],
    pub(crate) length: u32,
    pub(crate) first: u64,
    pub(crate) events: u16,
    pub(crate) streams: u16,
    starts_at: usize,
    names_at: usize,
}

/// Length of the head of the batch that begins with these bytes; nothing is checked but that it is possible.
pub(crate) fn head_length(bytes: &[u8]) -> Result<usize, &'static str> {
    if bytes.len() < BATCH_FIXED_BYTES || bytes[..4] != BATCH_MAGIC {
        return Err("no batch where one should be");
    }
    let (length, head_bytes) = (u32_at(bytes, 8) as usize, u32_at(bytes, 12) as usize);
    if length > BATCH_BYTES_MAX || head_bytes < BATCH_FIXED_BYTES || head_bytes > length {
        return Err("impossible length of a batch");
    }
    Ok(head_bytes)
}

impl<'a> BatchHead<'a> {
    /// Checks the head at the beginning of `bytes`, which must hold all of it.
    pub(crate) fn read(bytes: &'a [u8], mask: u32) -> Result<Self, &'static str> {
        let head_bytes = head_length(bytes)?;
        let head = bytes.get(..head_bytes).ok_or("a batch reaches beyond its group")?;
        if u32_at(head, 4) != checksum(&head[8..], mask) {
            return Err("checksum of a batch head");
        }
        let (events, streams, flags) = (u16_at(head, 64), u16_at(head, 66), u16_at(head, 68));
        if flags & !FLAG_COMMAND != 0 || events == 0 || streams == 0 {
            return Err("impossible head of a batch");
        }
        let bases_at = BATCH_FIXED_BYTES + if flags & FLAG_COMMAND == 0 { 0 } else { COMMAND_BYTES };
        let starts_at = bases_at + usize::from(streams) * (STREAM_BASE_BYTES + 2);
        let names_at = starts_at + usize::from(events) * 4;
        let read =
            BatchHead { head, length: u32_at(head, 8), first: u64_at(head, 16), events, streams, starts_at, names_at };
        read.check_tables()?;
        Ok(read)
    }

    /// Whether the tables fit into the head and agree with its counts.
    fn check_tables(&self) -> Result<(), &'static str> {
        if self.names_at > self.head.len() {
            return Err("impossible tables of a batch");
        }
        let (mut at, mut events) = (self.names_at, 0_usize);
        for index in 0..usize::from(self.streams) {
            let length = usize::from(*self.head.get(at).ok_or("stream name of a batch")?);
            let name = self.head.get(at + 1..at + 1 + length).ok_or("stream name of a batch")?;
            str::from_utf8(name).map_err(|_| "stream name of a batch")?;
            at += 1 + length;
            events += usize::from(self.count(index));
        }
        if at != self.head.len() || events != usize::from(self.events) {
            return Err("impossible tables of a batch");
        }
        let mut previous = self.head.len();
        for index in 0..usize::from(self.events) {
            let start = self.start(index);
            let expected = if index == 0 { start == previous } else { start >= previous + RECORD_FIXED_BYTES };
            if !expected {
                return Err("impossible record table of a batch");
            }
            previous = start;
        }
        if previous + RECORD_FIXED_BYTES > self.length as usize {
            return Err("impossible record table of a batch");
        }
        Ok(())
    }

    fn bases_at(&self) -> usize {
        self.starts_at - usize::from(self.streams) * (STREAM_BASE_BYTES + 2)
    }

    fn count(&self, index: usize) -> u16 {
        u16_at(self.head, self.starts_at - (usize::from(self.streams) - index) * 2)
    }

    fn start(&self, index: usize) -> usize {
        u32_at(self.head, self.starts_at + index * 4) as usize
    }

    pub(crate) fn head_bytes(&self) -> usize {
        self.head.len()
    }

    pub(crate) fn previous(&self) -> Link {
        array_at(self.head, 32)
    }

    pub(crate) fn last(&self) -> u64 {
        self.first + u64::from(self.events) - 1
    }

    pub(crate) fn command(&self) -> Option<CommandRecord> {
        command(self.head)
    }

    /// Streams in the order of the append.
    pub(crate) fn streams(&self) -> impl Iterator<Item = BatchStream<'a>> + use<'a> {
        let batch = *self;
        let (mut at, mut ordinal) = (batch.names_at, 0);
        (0..usize::from(batch.streams)).map(move |index| {
            let end = at + 1 + usize::from(batch.head[at]);
            let stream = BatchStream {
                name: str::from_utf8(&batch.head[at + 1..end]).expect("checked when the head was read"),
                name_at: at,
                base: u64_at(batch.head, batch.bases_at() + index * STREAM_BASE_BYTES),
                events: batch.count(index),
                ordinal,
            };
            at = end;
            ordinal += stream.events;
            stream
        })
    }

    /// Where a record stands, from the beginning of the batch.
    pub(crate) fn record(&self, ordinal: u16) -> Range<usize> {
        let index = usize::from(ordinal);
        let end = if ordinal + 1 == self.events { self.length as usize } else { self.start(index + 1) };
        self.start(index)..end
    }

    /// Hash of the batch, from all its bytes.
    pub(crate) fn link(&self, batch: &[u8]) -> Link {
        let mut plain = batch[..self.length as usize].to_vec();
        let bases = self.bases_at()..self.bases_at() + usize::from(self.streams) * STREAM_BASE_BYTES;
        // As its caller encoded it: without what the writer assigned and without checksums.
        for assigned in [4..8, 16..24, 32..64, bases.clone()] {
            plain[assigned].fill(0);
        }
        for ordinal in 0..self.events {
            let start = self.record(ordinal).start;
            plain[start..start + 4].fill(0);
        }
        link(&self.previous(), self.first, &self.head[bases], blake3::hash(&plain).as_bytes())
    }
}

/// The command a checked head names.
pub(crate) fn command(head: &[u8]) -> Option<CommandRecord> {
    (u16_at(head, 68) & FLAG_COMMAND != 0).then(|| CommandRecord {
        id: array_at(head, BATCH_FIXED_BYTES),
        fingerprint: array_at(head, BATCH_FIXED_BYTES + 16),
    })
}

/// When a checked head was recorded, in microseconds since 1970.
pub(crate) fn recorded_at(head: &[u8]) -> u64 {
    u64_at(head, 24)
}

/// Checks a record, so that its fields may be taken from it without further checks.
pub(crate) fn check_record(record: &[u8], mask: u32) -> Result<(), &'static str> {
    if record.len() < RECORD_FIXED_BYTES || u32_at(record, 4) as usize != record.len() {
        return Err("length of an event");
    }
    if u32_at(record, 0) != checksum(&record[4..], mask) {
        return Err("checksum of an event");
    }
    let fields = RecordFields::of(record);
    if fields.metadata.end > record.len() {
        return Err("impossible fields of an event");
    }
    str::from_utf8(&record[fields.name]).map_err(|_| "name of an event")?;
    let mut tags = &record[fields.tags];
    for _ in 0..record[33] {
        let (length, rest) = tags.split_first().ok_or("tags of an event")?;
        let (tag, rest) = rest.split_at_checked(usize::from(*length)).ok_or("tags of an event")?;
        str::from_utf8(tag).map_err(|_| "tags of an event")?;
        tags = rest;
    }
    if tags.is_empty() { Ok(()) } else { Err("tags of an event") }
}

/// Where the variable fields of a record stand; its data follows to the end.
pub(crate) struct RecordFields {
    pub(crate) name: Range<usize>,
    pub(crate) tags: Range<usize>,
    pub(crate) metadata: Range<usize>,
}

impl RecordFields {
    pub(crate) fn of(record: &[u8]) -> Self {
        let name = RECORD_FIXED_BYTES..RECORD_FIXED_BYTES + usize::from(record[32]);
        let tags = name.end..name.end + usize::from(u16_at(record, 34));
        let metadata = tags.end..tags.end + u32_at(record, 28) as usize;
        RecordFields { name, tags, metadata }
    }
}

const CHECKED: &str = "encoded here, or checked when it was read";

/// The wire name in a sound record.
pub(crate) fn name(record: &[u8]) -> &str {
    str::from_utf8(&record[RecordFields::of(record).name]).expect(CHECKED)
}

/// The tags in a sound record.
pub(crate) fn tags(record: &[u8]) -> impl Iterator<Item = &str> + Clone {
    let mut tags = &record[RecordFields::of(record).tags];
    std::iter::from_fn(move || {
        let (length, rest) = tags.split_first()?;
        let (tag, rest) = rest.split_at(usize::from(*length));
        tags = rest;
        Some(str::from_utf8(tag).expect(CHECKED))
    })
}

/// The records of a batch that was placed but not yet sealed.
pub(crate) fn placed_records(batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (events, head_bytes) = (u16_at(batch, 64), u32_at(batch, 12) as usize);
    let mut rest = &batch[head_bytes..];
    (0..events).map(move |_| {
        let (record, behind) = rest.split_at(u32_at(rest, 4) as usize);
        rest = behind;
        record
    })
}

/// Versions of the streams of a placed batch before it.
pub(crate) fn bases(batch: &EncodedBatch, placed: &[u8], streams: usize) -> impl Iterator<Item = u64> {
    (0..streams).map(move |index| u64_at(placed, batch.bases_at + index * STREAM_BASE_BYTES))
}
