//! `/admin/forks`: consumers that stand at a fork, and what operators on the same machine decide about it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{RawQuery, State},
};
use factum::{
    forks::{AcceptedFork, Forks, ForksError, Heard, LeftFork},
    input::from_query_string,
};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    operators::{Peer, document, failed, nobody_else, not_recorded, who, why},
};
use crate::{answers::store_unavailable, problem::Problem, work::Work};

/// What to do about a decision that took too long.
const AFTER_TIMEOUT: &str = "whether it was recorded is not known: look at who stands at a fork, and ask again";
/// What to do when something failed.
const AFTER_FAILURE: &str = "the store or the bus cannot answer now: look at who stands at a fork, and ask again";
/// What is for callers on the same machine only.
const SHOWN: &str = "forks are shown";

/// What the routes work with.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) shared: Arc<Shared>,
    pub(super) forks: Arc<Forks>,
}

/// The body of `GET /admin/forks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ForksAnswer {
    /// Each consumer and partition that stands at a fork.
    pub forks: Vec<ForkAnswer>,
}

/// The body of the answer to `POST /admin/forks/accept`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct AcceptedForksAnswer {
    /// Each fork that was accepted now.
    pub accepted: Vec<AcceptedForkAnswer>,
}

/// A fork from which a consumer goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct AcceptedForkAnswer {
    /// Where it stood.
    pub fork: ForkAnswer,
    /// It goes on already; otherwise it does when it runs.
    pub goes_on: bool,
}

/// A consumer that stands still on a partition: its source was restored to before what was dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ForkAnswer {
    /// The consumer: a process manager, `commands` of another service, a reactor.
    #[schemars(example = "process/transfer")]
    pub consumer: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The id of the store that was restored.
    pub source: String,
    /// The history that was left.
    pub left: String,
    /// The history that the source goes on with.
    pub history: String,
    /// The last position that the two share.
    pub fork: u64,
    /// The last position that was dealt with of the one that was left.
    pub watermark: u64,
    /// What was dealt with beyond the fork, as far as the topic still has it.
    pub heard: HeardAnswer,
}

/// The messages beyond a fork that were dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HeardAnswer {
    /// How many there are.
    pub count: u64,
    /// Whether those are all; otherwise the look ended before the fork.
    pub all: bool,
    /// The processes whose commands they answered.
    pub processes: Vec<String>,
    /// The first ones of them, from the fork on.
    pub messages: Vec<HeardMessageAnswer>,
}

/// A message beyond a fork.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HeardMessageAnswer {
    /// Its position in the history that was left.
    pub position: u64,
    /// The id of its event, which is gone.
    pub event_id: String,
    /// Its name.
    pub name: String,
    /// The stream of its event.
    pub stream: String,
    /// The process whose command it answered, if it did.
    pub process: Option<String>,
}

/// The body of `POST /admin/forks/accept`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct AcceptBody {
    /// The consumer that is to go on; without it, every one of the service that stands at a fork.
    #[schemars(example = &"process/transfer")]
    consumer: Option<String>,
    /// Why, in 1 to 500 characters.
    #[schemars(length(min = 1, max = 500), example = "accounts was restored from the copy of this night")]
    reason: String,
    /// Who decides, where the surface does not know who asks: 1 to 128 visible ASCII characters.
    #[schemars(example = &"ada", regex(pattern = "^[!-~]{1,128}$"))]
    actor: Option<String>,
}

#[derive(Deserialize)]
struct NoParameters {}

impl From<LeftFork> for ForkAnswer {
    fn from(fork: LeftFork) -> Self {
        Self {
            consumer: fork.consumer.as_ref().to_owned(),
            topic: fork.partition.topic.as_ref().to_owned(),
            partition: fork.partition.partition,
            source: fork.source.to_string(),
            left: fork.left.to_string(),
            history: fork.history.to_string(),
            fork: fork.fork.get(),
            watermark: fork.watermark.get(),
            heard: fork.heard.into(),
        }
    }
}

impl From<Heard> for HeardAnswer {
    fn from(heard: Heard) -> Self {
        let messages = heard.messages.into_iter().map(|message| HeardMessageAnswer {
            position: message.position.get(),
            event_id: message.event_id.to_string(),
            name: message.name,
            stream: message.stream.to_string(),
            process: message.process.map(|process| process.to_string()),
        });
        Self {
            messages: messages.collect(),
            count: heard.count,
            all: heard.all,
            processes: heard.processes.into_iter().collect(),
        }
    }
}

impl From<AcceptedFork> for AcceptedForkAnswer {
    fn from(AcceptedFork { fork, goes_on }: AcceptedFork) -> Self {
        Self { fork: fork.into(), goes_on }
    }
}

impl From<ForksError> for Problem {
    fn from(error: ForksError) -> Self {
        match error {
            ForksError::UnknownConsumer { .. } => Self::invalid("consumer", &error.to_string()),
            ForksError::Store(error) => store_unavailable(&error),
            ForksError::Append(error) => not_recorded(&error, AFTER_FAILURE),
            ForksError::Bus(error) => failed(error, AFTER_FAILURE),
        }
    }
}

/// Who stands at a fork.
pub(super) async fn list(
    State(Admin { shared, forks }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    RawQuery(parameters): RawQuery,
) -> Result<Json<ForksAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let NoParameters {} = from_query_string(parameters.as_deref().unwrap_or_default())?;
    let found = shared.gate.run(owner, "ask again", async move { forks.list().await }).await??;
    Ok(Json(ForksAnswer { forks: found.into_iter().map(Into::into).collect() }))
}

/// Lets who stands at a fork go on from there.
pub(super) async fn accept(
    State(Admin { shared, forks }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AcceptedForksAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let AcceptBody { consumer, reason, actor } = document(&shared, &headers, body).await?;
    let (actor, reason) = (who(&shared, &headers, actor)?, why(&reason)?);
    let work = async move { forks.accept(consumer.as_deref(), reason, actor).await };
    let accepted = shared.gate.run(owner, AFTER_TIMEOUT, work).await??;
    Ok(Json(AcceptedForksAnswer { accepted: accepted.into_iter().map(Into::into).collect() }))
}
