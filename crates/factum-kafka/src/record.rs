//! Records as librdkafka has them and as the bus has them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use factum::{
    bus::{Headers, NewRecord, Offset, Record},
    model::Timestamp,
};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
};

const MICROS_PER_MILLI: u64 = 1_000;

/// Copies a message out of librdkafka's memory: key and value share one allocation, the headers another. A missing key
/// or value is an empty one.
pub(crate) fn received(message: &BorrowedMessage<'_>) -> Record {
    let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
    let mut both = Vec::with_capacity(key.len() + value.len());
    both.extend_from_slice(key);
    both.extend_from_slice(value);
    let mut key_bytes = Bytes::from(both);
    let value = key_bytes.split_off(key.len());
    // The client panics at a name that is no UTF-8, which anybody may send: such a record says nothing about its value.
    let headers = catch_unwind(AssertUnwindSafe(|| headers_of_received(message))).unwrap_or_default();
    let millis = message.timestamp().to_millis().and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default();
    Record {
        offset: offset_of(message.offset()),
        key: key_bytes,
        headers,
        value,
        timestamp: Timestamp::from_micros(millis.saturating_mul(MICROS_PER_MILLI)),
    }
}

fn headers_of_received(message: &BorrowedMessage<'_>) -> Headers {
    match message.headers() {
        Some(headers) => {
            Headers::gathered(headers.iter().map(|Header { key, value }| (key, value.unwrap_or_default())))
        }
        None => Headers::new(),
    }
}

/// Kafka's offsets are never negative; its marks for "beginning" and the like never reach this.
pub(crate) fn offset_of(raw: i64) -> Offset {
    Offset::new(u64::try_from(raw).unwrap_or_default())
}

/// As librdkafka takes an offset.
pub(crate) fn raw_offset(offset: Offset) -> rdkafka::Offset {
    rdkafka::Offset::Offset(i64::try_from(offset.get()).unwrap_or(i64::MAX))
}

pub(crate) fn headers_of(record: &NewRecord) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in record.headers.iter() {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    headers
}

/// Its size on the way: what is added per record and header is at most this.
pub(crate) fn bytes_of(record: &NewRecord) -> usize {
    record.bytes() + RECORD_OVERHEAD_BYTES + record.headers.len() * HEADER_OVERHEAD_BYTES
}

/// Lengths, offset and timestamp of a record, and the head of a batch with one record.
const RECORD_OVERHEAD_BYTES: usize = 128;
/// Two lengths.
const HEADER_OVERHEAD_BYTES: usize = 10;

pub(crate) fn received_bytes(record: &Record) -> usize {
    record.key.len() + record.headers.bytes() + record.value.len()
}
