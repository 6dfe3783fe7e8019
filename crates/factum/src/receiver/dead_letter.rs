//! What came on a topic of commands and is not even a command with an id: kept, for whoever looks into it.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use factum_engine::{ExpectedVersion, InvalidName, StreamName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Event,
    bus::{Record, TopicPartition},
    model::{ActorId, CommandId, CorrelationId, EventId, Timestamp},
    store::{Append, CommandRecord, Fingerprint, Metadata, NewEvent},
};

/// The category of dead letters' streams; what follows is `<topic>.<partition>`.
pub(crate) const DEAD_LETTER_CATEGORY: &str = "dead_letter";
/// Under this namespace (UUID v5, RFC 9562) their command ids are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0x7be0_2f1d_53a9_4f66_a3c4_1e8f_90d7_6b35);
/// How much of a record's value is kept, in bytes.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// How much of its headers is kept, in bytes, names and values.
const HEADERS_BYTES_MAX: usize = 16 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub(super) enum DeadLetter {
    #[factum(name = "dead-letter.received")]
    Received(Received),
}

/// A record as it came; bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Received {
    topic: String,
    partition: u32,
    offset: u64,
    reason: String,
    /// In order; at most 16 KiB of them.
    headers: Vec<(String, String)>,
    /// At most 64 KiB of it.
    value: String,
    /// How many bytes the value had.
    value_bytes: u64,
}

/// The append that keeps a record; the same record is kept once.
pub(super) fn append(
    from: &TopicPartition,
    record: &Record,
    reason: &str,
    now: Timestamp,
) -> Result<Append, InvalidName> {
    let stream = StreamName::new(format!("{DEAD_LETTER_CATEGORY}-{}.{}", from.topic, from.partition))?;
    let command = command(from, record);
    let mut room = HEADERS_BYTES_MAX;
    let headers = record.headers.iter().take_while(|(name, value)| {
        let left = room.checked_sub(name.len() + value.len());
        room = left.unwrap_or_default();
        left.is_some()
    });
    let letter = DeadLetter::Received(Received {
        topic: from.topic.to_string(),
        partition: from.partition,
        offset: record.offset.get(),
        reason: reason.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), STANDARD.encode(value))).collect(),
        value: STANDARD.encode(&record.value[..record.value.len().min(VALUE_BYTES_MAX)]),
        value_bytes: record.value.len() as u64,
    });
    let mut data = Vec::new();
    letter.encode(&mut data);
    let event = NewEvent {
        id: EventId::from_uuid(command.id.derive("dead letter")),
        name: Cow::Borrowed(letter.name()),
        schema: letter.schema(),
        tags: Vec::new(),
        data,
    };
    let metadata = Metadata {
        correlation_id: CorrelationId::from_uuid(command.id.as_uuid()),
        causation_id: None,
        actor: ActorId::system(),
        bus_command: None,
    };
    Ok(Append::new(metadata, now).stream(stream, ExpectedVersion::Any, vec![event]).command(command))
}

/// Of the place and the content: a topic that was made anew has other records at the same offsets.
fn command(from: &TopicPartition, record: &Record) -> CommandRecord {
    let mut hasher = blake3::Hasher::new();
    for (name, value) in record.headers.iter() {
        for part in [name.as_bytes(), value] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.update(&record.value);
    let name = format!("{from} {} {}", record.offset, hasher.finalize());
    let id = CommandId::from_uuid(Uuid::new_v5(&NAMESPACE, name.as_bytes()));
    CommandRecord { id, fingerprint: Fingerprint([0; 16]) }
}
