//! What operators decided about parked messages: events of the service's own store.

use std::{borrow::Cow, collections::HashSet};

use factum_engine::{Clause, Direction, ExpectedVersion, Position, Selection};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    model::{ActorId, CorrelationId, EventId, Incarnation, StoreId, Timestamp},
    store::{Append, AppendError, EventStore, Metadata, NewEvent, StoreError, StreamName},
};

/// The category of the streams in which decisions are recorded: `quarantine-<handler>.<key>`.
pub(crate) const QUARANTINE_CATEGORY: &str = "quarantine";
/// The name of the event that a key was tried again.
pub const RETRIED: &str = "quarantine.retried";
/// The name of the event that a message was discarded.
pub const DISCARDED: &str = "quarantine.discarded";
/// How many decisions are read in one go.
const PAGE_EVENTS: usize = 1_000;
/// Under this namespace (UUID v5, RFC 9562) keys are hashed whose stream would have too long a name.
const NAMESPACE: Uuid = Uuid::from_u128(0x91b7_44d2_0c6e_4a3f_8d15_f27a_cb90_e638);

/// What is decided about the messages of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Retried(Retried),
    Discarded(Discarded),
}

/// `quarantine.retried`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retried {
    /// Written as `projection` when nothing else parked.
    #[serde(alias = "projection")]
    pub(super) handler: String,
    pub(super) key: String,
}

/// `quarantine.discarded`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Discarded {
    /// Written as `projection` when nothing else parked.
    #[serde(alias = "projection")]
    pub(super) handler: String,
    pub(super) key: String,
    pub(super) source: StoreId,
    pub(super) incarnation: Incarnation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partition: Option<u32>,
    pub(super) position: u64,
    pub(super) event_id: EventId,
    pub(super) name: String,
    pub(super) reason: String,
}

/// The messages of one projection that were discarded, by the ids of their events: dropped wherever they come up,
/// whichever version or generation meets them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discards(HashSet<EventId>);

impl Discards {
    /// Whether a message was discarded.
    pub fn contains(&self, event: EventId) -> bool {
        !self.0.is_empty() && self.0.contains(&event)
    }
}

/// Records a decision.
pub(super) async fn record(
    store: &dyn EventStore,
    decision: &Decision,
    actor: ActorId,
    (id, now): (Uuid, Timestamp),
) -> Result<(), AppendError> {
    let (name, handler, key, data) = match decision {
        Decision::Retried(retried) => (RETRIED, &retried.handler, &retried.key, serde_json::to_vec(retried)),
        Decision::Discarded(discarded) => {
            (DISCARDED, &discarded.handler, &discarded.key, serde_json::to_vec(discarded))
        }
    };
    // Text and numbers only: nothing in it can fail to be written.
    let data = data.unwrap_or_default();
    let metadata =
        Metadata { correlation_id: CorrelationId::from_uuid(id), causation_id: None, actor, bus_command: None };
    let event = NewEvent { id: EventId::from_uuid(id), name: Cow::Borrowed(name), schema: 1, tags: Vec::new(), data };
    let append = Append::new(metadata, now).stream(stream(handler, key), ExpectedVersion::Any, vec![event]);
    store.append(append).await.map(|_| ())
}

/// The stream of what is recorded about a key.
pub(super) fn stream(handler: &str, key: &str) -> StreamName {
    StreamName::new(format!("{QUARANTINE_CATEGORY}-{handler}.{key}")).unwrap_or_else(|_| {
        let id = Uuid::new_v5(&NAMESPACE, format!("{handler}.{key}").as_bytes());
        StreamName::new(format!("{QUARANTINE_CATEGORY}-{id}")).expect("a category and a UUID are a stream's name")
    })
}

/// Every discard recorded after a position, with its handler; and up to where was read.
pub(super) async fn discarded_since(
    store: &dyn EventStore,
    mut after: Position,
) -> Result<(Vec<Discarded>, Position), StoreError> {
    let selection = Selection::of(Clause::names([DISCARDED]));
    let mut found = Vec::new();
    loop {
        let batch = store.read(&selection, after, Direction::Forward, PAGE_EVENTS).await?;
        for event in &batch.events {
            match serde_json::from_slice(&event.data) {
                Ok(discarded) => found.push(discarded),
                Err(error) => {
                    tracing::error!(position = %event.position, %error, "a recorded discard cannot be read");
                }
            }
        }
        after = batch.read_to;
        if batch.end {
            return Ok((found, after));
        }
    }
}

impl FromIterator<EventId> for Discards {
    fn from_iter<T: IntoIterator<Item = EventId>>(events: T) -> Self {
        Self(events.into_iter().collect())
    }
}
