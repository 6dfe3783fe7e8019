//! What came on a topic of commands and is not even a command with an id: kept, for whoever looks into it.

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
/// How much of its headers is kept, in bytes: names, values, and for each what it takes to list it.
const HEADERS_BYTES_MAX: usize = 16 << 10;
/// What a header counts for besides its name and its value, in bytes: one without either takes room, too.
const HEADER_BYTES: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub(super) enum DeadLetter {
    #[factum(name = "dead-letter.received")]
    Received(Received),
    #[factum(name = "dead-letter.acknowledged")]
    Acknowledged(Acknowledged),
}

/// A record as it came; bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Received {
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) reason: String,
    /// In order; at most 16 KiB of them.
    headers: Vec<(String, String)>,
    /// At most 64 KiB of it.
    pub(super) value: String,
    /// How many bytes the value had.
    pub(super) value_bytes: u64,
}

/// Somebody has dealt with a letter, and with those before it in its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Acknowledged {
    /// The letter's event.
    pub(super) letter: EventId,
    /// Its version in the stream.
    pub(super) through: u64,
    pub(super) reason: String,
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
        let left = room.checked_sub(HEADER_BYTES + name.len() + value.len());
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
    let event = NewEvent::of(EventId::from_uuid(command.id.derive("dead letter")), &letter);
    let metadata = metadata(command.id.as_uuid(), ActorId::system());
    Ok(Append::new(metadata, now).stream(stream, ExpectedVersion::Any, vec![event]).command(command))
}

/// The append that acknowledges letters; done twice, it is done once.
pub(super) fn acknowledgement(
    stream: StreamName,
    acknowledged: Acknowledged,
    actor: ActorId,
    (correlation_id, now): (Uuid, Timestamp),
) -> Append {
    let id = CommandId::from_uuid(Uuid::new_v5(&NAMESPACE, format!("acknowledge {}", acknowledged.letter).as_bytes()));
    let event = NewEvent::of(EventId::from_uuid(id.derive("acknowledgement")), &DeadLetter::Acknowledged(acknowledged));
    let command = CommandRecord { id, fingerprint: Fingerprint([0; 16]) };
    let append = Append::new(metadata(correlation_id, actor), now);
    append.stream(stream, ExpectedVersion::StreamExists, vec![event]).command(command)
}

fn metadata(correlation_id: Uuid, actor: ActorId) -> Metadata {
    let correlation_id = CorrelationId::from_uuid(correlation_id);
    Metadata { correlation_id, causation_id: None, actor, bus_command: None }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Headers, Offset};

    /// A letter that the store refuses would stop its partition, on which commands wait.
    #[test]
    fn a_letter_is_bounded_whatever_its_headers_are() {
        for (name, value) in [("", ""), ("\u{1}", ""), ("name", "\u{1}\u{2}")] {
            let mut headers = Headers::new();
            (0..200_000).for_each(|_| headers.push(name, value));
            let record = Record {
                offset: Offset::new(3),
                key: "key".into(),
                headers,
                value: vec![0; 1 << 20].into(),
                timestamp: Timestamp::default(),
            };
            let append = append(&TopicPartition::new("topic", 1), &record, "junk", Timestamp::default()).unwrap();
            let bytes = append.streams[0].events[0].data.len();
            assert!(bytes < 160 << 10, "{name:?} {value:?}: {bytes}");
        }
    }
}
