//! What handlers with effects record of the messages they park: events of the service's own store, in the stream in which
//! operators' decisions about the key stand as well.

use std::borrow::Cow;

use factum_engine::{Clause, Direction, ExpectedVersion, Position, Selection};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    ParkedMessage,
    decisions::{DISCARDED, Discarded, stream},
};
use crate::{
    model::{ActorId, CommandId, CorrelationId, EventId, Timestamp},
    store::{
        Append, AppendError, CommandRecord, EventStore, Fingerprint, Metadata, NewEvent, RecordedEvent, StoreError,
    },
};

/// The name of the event that a message was parked.
pub const PARKED: &str = "quarantine.parked";
/// The name of the event that a parked message was taken in after all.
pub const RELEASED: &str = "quarantine.released";
/// The name of the event that a parked message was tried again and failed again.
pub const FAILED: &str = "quarantine.failed";
/// How many events are read in one go.
const PAGE_EVENTS: usize = 100;
/// Under this namespace (UUID v5, RFC 9562) the command ids of parking and releasing are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d1e_83c7_46b9_4c02_b3fa_91d7_0e62_a84b);
/// What an id is used for is in the id.
const FINGERPRINT: Fingerprint = Fingerprint([0; 16]);

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Parked(Box<Parked>),
    Released(Released),
    Failed(Failed),
    Discarded(Discarded),
}

/// `quarantine.parked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parked {
    pub(super) handler: String,
    pub(super) key: String,
    /// Why it failed; none: it stands behind one that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) message: ParkedMessage,
}

/// `quarantine.released`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Released {
    pub(super) handler: String,
    pub(super) key: String,
    pub(super) event_id: EventId,
}

/// `quarantine.failed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failed {
    pub(super) handler: String,
    pub(super) key: String,
    pub(super) event_id: EventId,
    pub(super) reason: String,
}

/// A [`Fact`] with where and when it was recorded.
pub(super) struct Recorded {
    pub(super) position: Position,
    pub(super) at: Timestamp,
    pub(super) fact: Fact,
}

impl Parked {
    /// Under an id derived from the message and, where it goes over `from` another line, from its place there: parked again,
    /// it changes nothing.
    pub(super) fn append(&self, from: Option<Position>, now: Timestamp) -> Append {
        let ParkedMessage { event_id, correlation_id, actor, .. } = &self.message;
        let what = from.map_or_else(|| "parked".to_owned(), |place| format!("parked from {place}"));
        let id = derived(&what, &self.handler, &self.key, *event_id);
        append(
            Written { name: PARKED, handler: &self.handler, key: &self.key, data: json(self) },
            (
                id,
                Some(CommandRecord { id: CommandId::from_uuid(id), fingerprint: FINGERPRINT }),
                Metadata {
                    correlation_id: *correlation_id,
                    causation_id: Some(event_id.as_uuid()),
                    actor: actor.clone(),
                    bus_command: None,
                },
                now,
            ),
        )
    }
}

impl Released {
    /// Under an id derived from the message, as it was parked.
    pub(super) fn append(&self, correlation_id: CorrelationId, now: Timestamp) -> Append {
        let id = derived("released", &self.handler, &self.key, self.event_id);
        append(
            Written { name: RELEASED, handler: &self.handler, key: &self.key, data: json(self) },
            (
                id,
                Some(CommandRecord { id: CommandId::from_uuid(id), fingerprint: FINGERPRINT }),
                by_system(correlation_id, self.event_id),
                now,
            ),
        )
    }
}

impl Failed {
    pub(super) fn append(&self, correlation_id: CorrelationId, (id, now): (Uuid, Timestamp)) -> Append {
        let written = Written { name: FAILED, handler: &self.handler, key: &self.key, data: json(self) };
        append(written, (id, None, by_system(correlation_id, self.event_id), now))
    }
}

struct Written<'a> {
    name: &'static str,
    handler: &'a str,
    key: &'a str,
    data: Vec<u8>,
}

fn append(
    Written { name, handler, key, data }: Written<'_>,
    (id, command, metadata, now): (Uuid, Option<CommandRecord>, Metadata, Timestamp),
) -> Append {
    let event = NewEvent { id: EventId::from_uuid(id), name: Cow::Borrowed(name), schema: 1, tags: Vec::new(), data };
    let append = Append::new(metadata, now).stream(stream(handler, key), ExpectedVersion::Any, vec![event]);
    Append { command, ..append }
}

fn by_system(correlation_id: CorrelationId, cause: EventId) -> Metadata {
    Metadata { correlation_id, causation_id: Some(cause.as_uuid()), actor: ActorId::system(), bus_command: None }
}

/// Names have no line breaks: none can pose as a part of another's.
fn derived(what: &str, handler: &str, key: &str, event: EventId) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{what}\n{handler}\n{key}\n{event}").as_bytes())
}

fn json(fact: &impl Serialize) -> Vec<u8> {
    // Text and numbers only: nothing in it can fail to be written.
    serde_json::to_vec(fact).unwrap_or_default()
}

/// Appends, and waits until what was appended can be read.
pub(super) async fn recorded(store: &dyn EventStore, append: Append) -> Result<(), AppendError> {
    let receipt = store.append(append).await?;
    store.synced_beyond(Position::new(receipt.last.get().saturating_sub(1))).await?;
    Ok(())
}

/// A page of what was recorded after a position; with up to where was read, and whether that is all.
pub(super) async fn since(
    store: &dyn EventStore,
    after: Position,
) -> Result<(Vec<Recorded>, Position, bool), StoreError> {
    let selection = Selection::of(Clause::names([PARKED, RELEASED, FAILED, DISCARDED]));
    let batch = store.read(&selection, after, Direction::Forward, PAGE_EVENTS).await?;
    let facts = batch.events.iter().map(|event| {
        let (position, at) = (event.position, event.recorded_at);
        Ok(Recorded { position, at, fact: read(event)? })
    });
    Ok((facts.collect::<Result<_, StoreError>>()?, batch.read_to, batch.end))
}

/// What an event says; to pass over one that cannot be read would be to lose a message.
pub(super) fn read(event: &RecordedEvent) -> Result<Fact, StoreError> {
    fn of<T: DeserializeOwned>(event: &RecordedEvent) -> Result<T, StoreError> {
        serde_json::from_slice(&event.data)
            .map_err(|error| StoreError::Damaged(format!("event {} ({}): {error}", event.position, event.name).into()))
    }
    Ok(match &*event.name {
        PARKED => Fact::Parked(Box::new(of(event)?)),
        RELEASED => Fact::Released(of(event)?),
        FAILED => Fact::Failed(of(event)?),
        _ => Fact::Discarded(of(event)?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PAGE: &str = include_str!("../../../../docs/data-format.md");

    fn fields(document: &Value) -> Vec<String> {
        let Value::Object(fields) = document else { return Vec::new() };
        fields.iter().flat_map(|(name, value)| [vec![name.clone()], fields_of_message(name, value)].concat()).collect()
    }

    fn fields_of_message(name: &str, value: &Value) -> Vec<String> {
        if name == "message" { fields(value) } else { Vec::new() }
    }

    /// What is recorded is for ever: whoever reads a store with tools of their own reads that page.
    #[test]
    fn every_field_that_is_recorded_is_on_the_page_of_the_data_format() {
        let id = "6f1a7c1e-0000-4000-8000-000000000001";
        let at = "2026-01-01T00:00:00Z";
        let message = json!({
            "event_id": id, "name": "told", "schema": 1, "store": id, "incarnation": id, "position": 7, "topic": "t",
            "partition": 3, "stream": "a-1", "version": 2, "recorded_at": at, "command_id": id, "bus_command": "c",
            "correlation_id": id, "actor": "ada", "parked_at": at, "data": "{}", "data_base64": "e30=",
        });
        let whole = json!({ "handler": "h", "key": "k", "event_id": id, "reason": "no", "message": message });
        fn written<T: Serialize + DeserializeOwned>(document: &Value) -> Value {
            let fact: T = serde_json::from_value(document.clone()).expect("it is one");
            serde_json::to_value(fact).expect("it is text and numbers")
        }
        let recorded = [
            (PARKED, written::<Parked>(&whole)),
            (RELEASED, written::<Released>(&whole)),
            (FAILED, written::<Failed>(&whole)),
        ];
        for (name, document) in recorded {
            assert!(PAGE.contains(&format!("| `{name}` |")), "{name}");
            for field in fields(&document) {
                assert!(PAGE.contains(&format!("`{field}`")), "{name}: {field}");
            }
        }
    }
}
