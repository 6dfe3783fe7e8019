//! `/admin/relays`, `/admin/consumers`, `/admin/topics`: what goes over the bus, for operators on the same machine.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{RawQuery, State},
};
use factum::{
    Position,
    input::from_query_string,
    relay::{RelayState, RewindError},
    service::{ConsumerState, PartitionState, TopicState, Traffic},
};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    operators::{Peer, document, failed, nobody_else},
};
use crate::{answers::store_unavailable, code::Code, problem::Problem, work::Work};

/// What to do about a rewind that took too long.
const AFTER_TIMEOUT: &str = "whether the relay rewinds is not known: look at it, and ask again, which does no harm";
/// What to do when something failed.
const AFTER_FAILURE: &str = "the store or the bus cannot answer now: look at it, and ask again";
/// What is for callers on the same machine only.
const SHOWN: &str = "relays and consumers are shown";

/// What the routes work with.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) shared: Arc<Shared>,
    pub(super) traffic: Traffic,
}

/// The body of `GET /admin/relays`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RelaysAnswer {
    /// Each relay.
    pub relays: Vec<RelayAnswer>,
}

/// How far a relay is with its topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RelayAnswer {
    /// The topic.
    #[schemars(example = "bank.accounts.account.events")]
    pub topic: String,
    /// What it is doing: `live`, `catching-up`, `backing-off`, `starting`, `stood-down`, `failed`, `stopped`.
    pub state: String,
    /// Every event up to here is published, or has nothing to publish.
    pub position: u64,
    /// The same as it is stored: where it would go on after a crash.
    pub checkpoint: u64,
    /// Where the store ends.
    pub head: u64,
    /// How many positions it is behind.
    pub lag: u64,
    /// How many messages were acknowledged since the service started.
    pub sent: u64,
    /// How many of these had been sent before.
    pub resent: u64,
    /// The last error, until it works again.
    pub last_error: Option<String>,
    /// Each partition, as the checkpoint has it.
    pub partitions: Vec<LaneAnswer>,
}

/// How far a relay is with one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct LaneAnswer {
    /// The partition.
    pub partition: u32,
    /// The position of the last message; 0 before the first.
    pub sent: u64,
    /// Where it was acknowledged; absent where nothing was sent, or nothing again yet since a rewind.
    pub offset: Option<u64>,
}

/// The body of the answer to `POST /admin/relays/rewind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RewoundAnswer {
    /// Messages of events after this position are published again.
    pub to: u64,
    /// Where the relay was.
    pub from: u64,
}

/// The body of `GET /admin/consumers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ConsumersAnswer {
    /// Each consumer.
    pub consumers: Vec<ConsumerAnswer>,
}

/// How far a consumer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ConsumerAnswer {
    /// Its name.
    #[schemars(example = "process transfer")]
    pub consumer: String,
    /// What it is doing, in the words of relays.
    pub state: String,
    /// How many records it is behind, on all partitions together.
    pub lag: u64,
    /// How many messages it dealt with since the service started.
    pub processed: u64,
    /// How many re-sends it dropped since then.
    pub dropped: u64,
    /// What an operator must look at: a gap names the position to rewind to.
    pub alarms: Vec<AlarmAnswer>,
    /// The last error, until it works again.
    pub last_error: Option<String>,
    /// Each partition; of very many, the first ones.
    pub partitions: Vec<PartitionAnswer>,
}

/// Something that an operator must look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct AlarmAnswer {
    /// What it is about.
    pub about: String,
    /// What it is.
    pub text: String,
}

/// How far a consumer is with one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PartitionAnswer {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset of the record that is next; absent before the first.
    pub next: Option<u64>,
    /// The offset of the last record on the bus; absent where there is none.
    pub tail: Option<u64>,
    /// How many records it is behind.
    pub lag: u64,
    /// The highest position that was dealt with, of each source.
    pub watermarks: Vec<WatermarkAnswer>,
}

/// The highest position that was dealt with of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct WatermarkAnswer {
    /// The id of the source's store.
    pub store: String,
    /// Its history.
    pub incarnation: String,
    /// The position.
    pub position: u64,
}

/// The body of `GET /admin/topics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TopicsAnswer {
    /// Each topic.
    pub topics: Vec<TopicAnswer>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TopicAnswer {
    /// Its name.
    pub topic: String,
    /// Whether this service publishes on it; otherwise it hears it.
    pub published: bool,
    /// How many partitions it has on the bus; absent when it is not there.
    pub partitions: Option<u32>,
    /// About how many records it ever had, retained or not.
    pub records: u64,
}

/// The body of `POST /admin/relays/rewind`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct RewindBody {
    /// The topic to publish on again.
    #[schemars(example = "bank.accounts.account.events")]
    topic: String,
    /// What was published of events after this position is published again: 0 for everything.
    to: u64,
}

#[derive(Deserialize)]
struct NoParameters {}

impl From<RelayState> for RelayAnswer {
    fn from(relay: RelayState) -> Self {
        let lane = |lane: &factum::relay::LaneState| LaneAnswer {
            partition: lane.partition,
            sent: lane.sent.get(),
            offset: lane.offset.map(factum::bus::Offset::get),
        };
        Self {
            lag: relay.lag(),
            state: relay.state.as_str().to_owned(),
            position: relay.position.get(),
            checkpoint: relay.checkpoint.get(),
            head: relay.head.get(),
            sent: relay.sent,
            resent: relay.resent,
            partitions: relay.lanes.iter().map(lane).collect(),
            topic: relay.topic,
            last_error: relay.last_error,
        }
    }
}

impl From<ConsumerState> for ConsumerAnswer {
    fn from(consumer: ConsumerState) -> Self {
        Self {
            lag: consumer.partitions.iter().map(PartitionState::lag).sum(),
            consumer: consumer.consumer,
            state: consumer.state.as_str().to_owned(),
            processed: consumer.processed,
            dropped: consumer.dropped,
            alarms: consumer.alarms.into_iter().map(|(about, text)| AlarmAnswer { about, text }).collect(),
            last_error: consumer.last_error,
            partitions: consumer.partitions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<PartitionState> for PartitionAnswer {
    fn from(partition: PartitionState) -> Self {
        let watermarks = partition.watermarks.iter().map(|(source, position)| WatermarkAnswer {
            store: source.store.to_string(),
            incarnation: source.incarnation.to_string(),
            position: position.get(),
        });
        Self {
            lag: partition.lag(),
            next: partition.next.map(factum::bus::Offset::get),
            tail: partition.tail.map(factum::bus::Offset::get),
            watermarks: watermarks.collect(),
            topic: partition.topic,
            partition: partition.partition,
        }
    }
}

impl From<TopicState> for TopicAnswer {
    fn from(topic: TopicState) -> Self {
        let TopicState { topic, is_published: published, partitions, records } = topic;
        Self { topic, published, partitions, records }
    }
}

impl From<RewindError> for Problem {
    fn from(error: RewindError) -> Self {
        match error {
            RewindError::UnknownTopic { .. } => Self::of(Code::NotFound, error.to_string()),
            RewindError::BeyondHead { .. } => Self::invalid("to", &error.to_string()),
            RewindError::NotRunning(_) | RewindError::Busy => Self::of(Code::Busy, error.to_string()),
            RewindError::Unknown => failed(error, AFTER_TIMEOUT),
            RewindError::Store(error) => store_unavailable(&error),
        }
    }
}

/// How far each relay is.
pub(super) async fn relays(
    State(Admin { shared, traffic }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    RawQuery(parameters): RawQuery,
) -> Result<Json<RelaysAnswer>, Problem> {
    asked_here(peer, &headers, parameters)?;
    let found = shared.gate.run(owner, "ask again", async move { traffic.relays().list().await }).await?;
    let found = found.map_err(|error| failed(error, AFTER_FAILURE))?;
    Ok(Json(RelaysAnswer { relays: found.into_iter().map(Into::into).collect() }))
}

/// Publishes again from a position on.
pub(super) async fn rewind(
    State(Admin { shared, traffic }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RewoundAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let RewindBody { topic, to } = document(&shared, &headers, body).await?;
    let work = async move { traffic.relays().rewind(&topic, Position::new(to)).await };
    let rewound = shared.gate.run(owner, AFTER_TIMEOUT, work).await??;
    Ok(Json(RewoundAnswer { to: rewound.to.get(), from: rewound.from.get() }))
}

/// How far each consumer is.
pub(super) async fn consumers(
    State(Admin { shared, traffic }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    RawQuery(parameters): RawQuery,
) -> Result<Json<ConsumersAnswer>, Problem> {
    asked_here(peer, &headers, parameters)?;
    let found = shared.gate.run(owner, "ask again", async move { traffic.consumers().await }).await?;
    let found = found.map_err(|error| failed(error, AFTER_FAILURE))?;
    Ok(Json(ConsumersAnswer { consumers: found.into_iter().map(Into::into).collect() }))
}

/// The topics as they are on the bus.
pub(super) async fn topics(
    State(Admin { shared, traffic }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    RawQuery(parameters): RawQuery,
) -> Result<Json<TopicsAnswer>, Problem> {
    asked_here(peer, &headers, parameters)?;
    let found = shared.gate.run(owner, "ask again", async move { traffic.topics().await }).await?;
    let found = found.map_err(|error| failed(error, AFTER_FAILURE))?;
    Ok(Json(TopicsAnswer { topics: found.into_iter().map(Into::into).collect() }))
}

fn asked_here(peer: Peer, headers: &HeaderMap, parameters: Option<String>) -> Result<(), Problem> {
    nobody_else(SHOWN, peer, headers)?;
    let NoParameters {} = from_query_string(parameters.as_deref().unwrap_or_default())?;
    Ok(())
}
