//! Encoding of a batch, on its caller's thread: everything but what only the writer knows.

use std::collections::HashSet;

use super::batch::{
    BATCH_FIXED_BYTES, BATCH_MAGIC, COMMAND_BYTES, FLAG_COMMAND, RECORD_FIXED_BYTES, STREAM_BASE_BYTES,
};
use super::{put, u32_at};
use crate::append::{Append, NewEvent, StreamAppend};
use crate::error::AppendError;
use crate::names;
use crate::options::{BATCH_BYTES_MAX, BATCH_STREAMS_MAX, EVENT_TAGS_MAX, Options};

/// A batch whose positions, versions, predecessor and checksums' masks are still missing.
pub(crate) struct EncodedBatch {
    pub(crate) bytes: Vec<u8>,
    /// BLAKE3 of `bytes` while all of those are zero.
    pub(crate) digest: [u8; 32],
    pub(crate) events: u32,
    /// Where the versions before the batch go, one after the other.
    pub(crate) bases_at: usize,
    /// Where the offsets of the records stand.
    pub(crate) starts_at: usize,
}

/// Checks an append against the limits and encodes it.
pub(crate) fn encode(append: &Append, options: &Options) -> Result<EncodedBatch, AppendError> {
    let events: usize = append.streams.iter().map(|stream| stream.events.len()).sum();
    check(append, events, options)?;
    let sizes = append.streams.iter().flat_map(|stream| &stream.events).map(record_bytes);
    let names: usize = append.streams.iter().map(|stream| 1 + stream.stream.as_str().len()).sum();
    let bases_at = BATCH_FIXED_BYTES + append.command.map_or(0, |_| COMMAND_BYTES);
    let starts_at = bases_at + append.streams.len() * (STREAM_BASE_BYTES + 2);
    let head_bytes = starts_at + events * 4 + names;
    let length = head_bytes + sizes.sum::<usize>();
    if length > BATCH_BYTES_MAX {
        return Err(AppendError::BatchTooLarge { what: "bytes", found: length, limit: BATCH_BYTES_MAX });
    }

    let mut bytes = Vec::with_capacity(length);
    bytes.resize(starts_at + events * 4, 0);
    put(&mut bytes, 0, &BATCH_MAGIC);
    put(&mut bytes, 8, &(length as u32).to_le_bytes());
    put(&mut bytes, 12, &(head_bytes as u32).to_le_bytes());
    put(&mut bytes, 24, &append.recorded_at.to_le_bytes());
    put(&mut bytes, 64, &(events as u16).to_le_bytes());
    put(&mut bytes, 66, &(append.streams.len() as u16).to_le_bytes());
    if let Some(command) = append.command {
        put(&mut bytes, 68, &FLAG_COMMAND.to_le_bytes());
        put(&mut bytes, BATCH_FIXED_BYTES, &command.id);
        put(&mut bytes, BATCH_FIXED_BYTES + 16, &command.fingerprint);
    }
    let counts_at = bases_at + append.streams.len() * STREAM_BASE_BYTES;
    for (index, stream) in append.streams.iter().enumerate() {
        put(&mut bytes, counts_at + index * 2, &(stream.events.len() as u16).to_le_bytes());
    }
    for stream in &append.streams {
        push_short(&mut bytes, stream.stream.as_str());
    }
    assert_eq!(bytes.len(), head_bytes, "the head is as long as announced");
    for (index, event) in append.streams.iter().flat_map(|stream| &stream.events).enumerate() {
        let start = bytes.len() as u32;
        put(&mut bytes, starts_at + index * 4, &start.to_le_bytes());
        push_record(&mut bytes, event);
    }
    assert_eq!(bytes.len(), length, "the batch is as long as announced");

    let digest = *blake3::hash(&bytes).as_bytes();
    let mut batch = EncodedBatch { bytes, digest, events: events as u32, bases_at, starts_at };
    batch.sum_records();
    Ok(batch)
}

impl EncodedBatch {
    fn sum_records(&mut self) {
        for index in 0..self.events as usize {
            let start = u32_at(&self.bytes, self.starts_at + index * 4) as usize;
            let length = u32_at(&self.bytes, start + 4) as usize;
            let crc = crc32c::crc32c(&self.bytes[start + 4..start + length]);
            put(&mut self.bytes, start, &crc.to_le_bytes());
        }
    }
}

fn check(append: &Append, events: usize, options: &Options) -> Result<(), AppendError> {
    let too_large = |what, found, limit| Err(AppendError::BatchTooLarge { what, found, limit });
    if events == 0 {
        return Err(AppendError::Empty);
    }
    if events > options.batch_events_max {
        return too_large("events", events, options.batch_events_max);
    }
    if append.streams.len() > BATCH_STREAMS_MAX {
        return too_large("streams", append.streams.len(), BATCH_STREAMS_MAX);
    }
    check_distinct(&append.streams)?;
    if let Some(boundary) = &append.boundary {
        boundary.selection.check().map_err(AppendError::InvalidSelection)?;
    }
    for event in append.streams.iter().flat_map(|stream| &stream.events) {
        names::check_event_name(&event.name).map_err(AppendError::InvalidEventName)?;
        if event.tags.len() > EVENT_TAGS_MAX {
            return Err(AppendError::TooManyTags { found: event.tags.len() });
        }
        let bytes = event.metadata.len() + event.data.len();
        if bytes > options.event_bytes_max {
            return Err(AppendError::EventTooLarge { bytes, limit: options.event_bytes_max });
        }
    }
    Ok(())
}

fn check_distinct(streams: &[StreamAppend]) -> Result<(), AppendError> {
    if streams.len() < 2 {
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(streams.len());
    match streams.iter().find(|stream| !seen.insert(&stream.stream)) {
        Some(twice) => Err(AppendError::DuplicateStream { stream: twice.stream.clone() }),
        None => Ok(()),
    }
}

fn tags_bytes(event: &NewEvent) -> usize {
    event.tags.iter().map(|tag| 1 + tag.as_str().len()).sum()
}

fn record_bytes(event: &NewEvent) -> usize {
    RECORD_FIXED_BYTES + event.name.len() + tags_bytes(event) + event.metadata.len() + event.data.len()
}

fn push_record(bytes: &mut Vec<u8>, event: &NewEvent) {
    // The checksum's place; it is not part of the digest.
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(record_bytes(event) as u32).to_le_bytes());
    bytes.extend_from_slice(&event.id);
    bytes.extend_from_slice(&event.schema.to_le_bytes());
    bytes.extend_from_slice(&(event.metadata.len() as u32).to_le_bytes());
    bytes.push(event.name.len() as u8);
    bytes.push(event.tags.len() as u8);
    bytes.extend_from_slice(&(tags_bytes(event) as u16).to_le_bytes());
    bytes.extend_from_slice(event.name.as_bytes());
    for tag in &event.tags {
        push_short(bytes, tag.as_str());
    }
    bytes.extend_from_slice(&event.metadata);
    bytes.extend_from_slice(&event.data);
}

fn push_short(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(text.len() as u8);
    bytes.extend_from_slice(text.as_bytes());
}
