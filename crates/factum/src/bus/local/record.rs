//! What the local bus keeps of a record beside its value, as the engine's metadata of an event.
//!
//! ```text
//! u8       1, the format
//! u64      timestamp, µs since 1970
//! u32      bytes of the key, then the key
//! u16      number of headers, then for each:
//!   u16      bytes of the name, then the name (UTF-8)
//!   u32      bytes of the value, then the value
//! ```
//! Integers are little-endian.

use std::sync::Arc;

use bytes::Bytes;
use factum_engine::StoredEvent;

use crate::{
    bus::{Headers, NewRecord, Offset, Record},
    model::Timestamp,
};

const FORMAT: u8 = 1;

/// The metadata of a record; `None` when it has too many headers or one with too long a name.
pub(crate) fn encode(record: &NewRecord) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(16 + record.key.len() + record.headers.bytes() + 6 * record.headers.len());
    out.push(FORMAT);
    out.extend_from_slice(&record.timestamp.as_micros().to_le_bytes());
    out.extend_from_slice(&u32::try_from(record.key.len()).ok()?.to_le_bytes());
    out.extend_from_slice(&record.key);
    out.extend_from_slice(&u16::try_from(record.headers.len()).ok()?.to_le_bytes());
    record.headers.pack(&mut out)?;
    Some(out)
}

/// The block that the event before was read into, for those that share it.
pub(super) type LastBlock = Option<(Arc<[u8]>, Bytes)>;

/// The record in an event; `None` when a newer build wrote it. Its bytes are shared with the page it was read into.
pub(super) fn decode(event: &StoredEvent, last: &mut LastBlock) -> Option<Record> {
    let (block, data) = event.data_block();
    let block = match last {
        Some((known, bytes)) if Arc::ptr_eq(known, &block) => &*bytes,
        _ => &last.insert((Arc::clone(&block), Bytes::from_owner(Block(block)))).1,
    };
    // The engine stores metadata right before the data.
    let metadata = block.slice(data.start - event.metadata().len()..data.start);
    debug_assert_eq!(metadata, event.metadata());
    let (timestamp, key, headers) = decode_metadata(metadata)?;
    let offset = Offset::new(event.version().get());
    Some(Record { offset, key, headers, value: block.slice(data), timestamp })
}

/// Timestamp, key and headers; they share the bytes.
pub(crate) fn decode_metadata(mut rest: Bytes) -> Option<(Timestamp, Bytes, Headers)> {
    if take(&mut rest, 1)?[0] != FORMAT {
        return None;
    }
    let timestamp = Timestamp::from_micros(u64::from_le_bytes(array(&mut rest)?));
    let key = sized(&mut rest)?;
    let count = u16::from_le_bytes(array(&mut rest)?);
    let headers = Headers::packed(rest).filter(|headers| headers.len() == usize::from(count))?;
    Some((timestamp, key, headers))
}

fn take(rest: &mut Bytes, length: usize) -> Option<Bytes> {
    (rest.len() >= length).then(|| rest.split_to(length))
}

fn array<const N: usize>(rest: &mut Bytes) -> Option<[u8; N]> {
    take(rest, N)?.as_ref().try_into().ok()
}

fn sized(rest: &mut Bytes) -> Option<Bytes> {
    let length = u32::from_le_bytes(array(rest)?);
    take(rest, usize::try_from(length).ok()?)
}

struct Block(Arc<[u8]>);

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
