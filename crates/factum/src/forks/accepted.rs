//! What operators decided about forks: events of the service's own store.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use factum_engine::{Clause, Direction, ExpectedVersion, Position, Selection};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Heard, Standing};
use crate::{
    bus::TopicPartition,
    model::{ActorId, CommandId, CorrelationId, EventId, Incarnation, Source, StoreId, Timestamp},
    store::{Append, AppendError, CommandRecord, EventStore, Fingerprint, Metadata, NewEvent, StoreError, StreamName},
};

/// The category of the streams in which decisions are recorded.
pub(crate) const FORK_CATEGORY: &str = "fork";
/// The name of the event that a consumer goes on from a fork.
pub const FORK_ACCEPTED: &str = "fork.accepted";
/// The most processes that an event names.
pub const PROCESSES_RECORDED_MAX: usize = 100;
/// How many decisions are read in one go.
const PAGE_EVENTS: usize = 1_000;
/// Under this namespace (UUID v5, RFC 9562) the command ids of decisions are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0x3d0a_61c5_97e2_4b18_a6f4_02bd_5c8e_71f9);

/// `fork.accepted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ForkAccepted {
    consumer: String,
    topic: String,
    partition: u32,
    source: StoreId,
    /// The history that was left, and the one it goes on with.
    left: Incarnation,
    history: Incarnation,
    /// The last position that the two share, and the last one that was dealt with of the one that was left.
    fork: u64,
    watermark: u64,
    /// How many messages beyond the fork the topic still had, and whether those are all.
    messages: u64,
    all: bool,
    /// The processes that they were for.
    processes: Vec<String>,
    reason: String,
}

/// The forks from which a consumer goes on with a new history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accepted(Arc<HashSet<Place>>);

/// Where a history was left: topic, partition, which one, and its last position that counts.
type Place = (Arc<str>, u32, StoreId, Incarnation, Position);

impl Accepted {
    /// Whether it was accepted that a history was left there.
    pub(crate) fn covers(&self, partition: &TopicPartition, left: Source, fork: Position) -> bool {
        if self.0.is_empty() {
            return false;
        }
        self.0.contains(&(Arc::clone(&partition.topic), partition.partition, left.store, left.incarnation, fork))
    }
}

impl ForkAccepted {
    fn place(&self) -> Place {
        (self.topic.as_str().into(), self.partition, self.source, self.left, Position::new(self.fork))
    }
}

/// Records that a consumer goes on from a fork, once however often it is decided.
pub(super) async fn record(
    store: &dyn EventStore,
    (consumer, standing, heard): (&str, &Standing, &Heard),
    reason: &str,
    actor: ActorId,
    now: Timestamp,
) -> Result<(), AppendError> {
    let Standing { partition, left, history, fork, watermark, .. } = standing;
    let accepted = ForkAccepted {
        consumer: consumer.to_owned(),
        topic: partition.topic.to_string(),
        partition: partition.partition,
        source: left.store,
        left: left.incarnation,
        history: history.incarnation,
        fork: fork.get(),
        watermark: watermark.get(),
        messages: heard.count,
        all: heard.all,
        processes: heard.processes.iter().take(PROCESSES_RECORDED_MAX).cloned().collect(),
        reason: reason.to_owned(),
    };
    let what = format!("{consumer} {partition} {} {} {} {fork}", left.store, left.incarnation, history.incarnation);
    let id = CommandId::from_uuid(Uuid::new_v5(&NAMESPACE, what.as_bytes()));
    let stream = StreamName::new(format!("{FORK_CATEGORY}-{}", id.as_uuid()));
    let stream = stream.expect("a category and a UUID are a stream's name");
    let correlation_id = CorrelationId::from_uuid(id.as_uuid());
    let metadata = Metadata { correlation_id, causation_id: None, actor, bus_command: None };
    let event = NewEvent {
        id: EventId::from_uuid(id.derive("accepted")),
        name: Cow::Borrowed(FORK_ACCEPTED),
        schema: 1,
        tags: Vec::new(),
        // Text and numbers only: nothing in it can fail to be written.
        data: serde_json::to_vec(&accepted).unwrap_or_default(),
    };
    let command = CommandRecord { id, fingerprint: Fingerprint([0; 16]) };
    let append = Append::new(metadata, now).stream(stream, ExpectedVersion::Any, vec![event]).command(command);
    store.append(append).await.map(drop)
}

/// Every fork from which a consumer goes on.
pub(super) async fn of_consumer(store: &dyn EventStore, consumer: &str) -> Result<Accepted, StoreError> {
    let selection = Selection::of(Clause::names([FORK_ACCEPTED]));
    let (mut places, mut after) = (HashSet::new(), Position::ZERO);
    loop {
        let batch = store.read(&selection, after, Direction::Forward, PAGE_EVENTS).await?;
        for event in &batch.events {
            match serde_json::from_slice::<ForkAccepted>(&event.data) {
                Ok(accepted) if accepted.consumer == consumer => drop(places.insert(accepted.place())),
                Ok(_) => {}
                Err(error) => tracing::error!(position = %event.position, %error, "an accepted fork cannot be read"),
            }
        }
        after = batch.read_to;
        if batch.end {
            return Ok(Accepted(Arc::new(places)));
        }
    }
}
