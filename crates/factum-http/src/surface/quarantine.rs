//! `/admin/quarantine`: what is parked, and what operators on the same machine decide about it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{RawQuery, State},
};
use factum::{
    input::from_query_string,
    quarantine::{
        Handled, Listed, PARKED_MESSAGES_MAX, ParkedMessage, Quarantine, QuarantineError, RETRY_KEYS_MAX, RetriedKey,
        RetriedKeys, Shown,
    },
};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    operators::{Peer, document, event, failed, limit, nobody_else, not_recorded, who, why},
};
use crate::{answers::store_unavailable, code::Code, problem::Problem, work::Work};

/// How many keys of a handler, or messages of a key, an answer has unless told otherwise.
pub(crate) const PARKED_DEFAULT: usize = 100;
/// The most it has: as many messages as a key can have.
pub(crate) const PARKED_MAX: usize = PARKED_MESSAGES_MAX;

/// What to do about a decision that took too long.
const AFTER_TIMEOUT: &str = "whether it was recorded is not known: look at what is parked, and ask again";
/// What to do when something failed.
const AFTER_FAILURE: &str = "a store cannot answer now: look at what is parked, and ask again";
/// What strangers are told.
const SHOWN: &str = "what is quarantined is shown";

/// What the routes work with.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) shared: Arc<Shared>,
    pub(super) quarantine: Arc<Quarantine>,
}

/// The body of `GET /admin/quarantine`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct QuarantineAnswer {
    /// The keys that are parked, by handler and key.
    pub keys: Vec<ParkedKeyAnswer>,
}

/// The body of `GET /admin/quarantine/messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ParkedAnswer {
    /// The key, once for each version and generation of the handler that has it parked.
    pub parked: Vec<ParkedMessagesAnswer>,
}

/// A key with what is parked of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ParkedMessagesAnswer {
    /// The key.
    pub about: ParkedKeyAnswer,
    /// Its messages, in order: as many as were asked for, or fewer when their documents take more than 4 MiB.
    pub messages: Vec<ParkedMessageAnswer>,
    /// Where the rest begins: what to ask for next, as `after`. None: this is all.
    pub next: Option<String>,
}

/// A key that is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ParkedKeyAnswer {
    /// The handler's name: a projection's, `process/` and a process manager's, or `reactor/` and a reactor's.
    #[schemars(example = "account-summaries")]
    pub handler: String,
    /// Its version, where it has one: a projection does.
    pub version: Option<u32>,
    /// The loop that parked it: tells generations of one version apart.
    #[serde(rename = "loop")]
    pub loop_name: String,
    /// The key: as a rule the stream.
    pub key: String,
    /// The topic its messages come on; none: the service's own events.
    pub topic: Option<String>,
    /// The partition they come on.
    pub partition: Option<u32>,
    /// Why its first message failed, the last time it was tried.
    pub reason: String,
    /// When it was parked.
    pub since: String,
    /// When its first message was tried last.
    pub tried_at: String,
    /// How often its first message was tried; 0: it stood behind one that was discarded.
    pub attempts: u32,
    /// How many messages are parked.
    pub messages: u64,
    /// The id of the event of its first message: what a discard names.
    pub event_id: String,
    /// The name of its first message.
    pub name: String,
    /// The position of its first message in its store.
    pub position: u64,
}

/// A message that is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ParkedMessageAnswer {
    /// The id of its event.
    pub event_id: String,
    /// Its name.
    pub name: String,
    /// Its stream.
    pub stream: String,
    /// Its number in that stream.
    pub version: u64,
    /// Its position in the store that recorded it.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: String,
    /// When it was parked.
    pub parked_at: String,
    /// What it belongs to across services.
    pub correlation_id: String,
    /// Who asked for it.
    pub actor: String,
    /// Its document as text; of one that is no text, `data_base64`.
    pub data: Option<String>,
    /// Its document, where it is no text.
    pub data_base64: Option<String>,
}

/// What became of a key's messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HandledAnswer {
    /// How many messages are parked no longer: applied, or dropped because they were discarded.
    pub done: u64,
    /// How many are still parked.
    pub left: u64,
    /// Why the first of those failed again.
    pub failed: Option<String>,
}

/// What became of keys of a handler that were tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RetriedKeysAnswer {
    /// Each key, in order.
    pub keys: Vec<RetriedKeyAnswer>,
    /// Where the rest begins: what to ask for next, as `after`. None: these were the last ones.
    pub next: Option<String>,
}

/// What became of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RetriedKeyAnswer {
    /// The key.
    pub key: String,
    /// How many messages are parked no longer.
    pub done: u64,
    /// How many are still parked.
    pub left: u64,
    /// Why the first of those failed again, or why that is not known yet.
    pub failed: Option<String>,
}

/// The body of `POST /admin/quarantine/retry-all`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct RetryAllBody {
    /// The handler's name: a projection's, `process/` and a process manager's, or `reactor/` and a reactor's.
    #[schemars(example = "account-summaries")]
    handler: String,
    /// Only the keys after this one: `next` of the answer before.
    #[schemars(example = &"account-6f1a7c1e-0000-4000-8000-000000000001")]
    after: Option<String>,
    /// How many keys at most: 100 unless told otherwise. Fewer when they take longer than 5 seconds.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// Who decides, where the surface does not know who asks: 1 to 128 visible ASCII characters.
    #[schemars(example = &"ada", regex(pattern = "^[!-~]{1,128}$"))]
    actor: Option<String>,
}

/// The body of `POST /admin/quarantine/retry`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct RetryBody {
    /// The handler's name: a projection's, `process/` and a process manager's, or `reactor/` and a reactor's.
    #[schemars(example = "account-summaries")]
    handler: String,
    /// The key.
    #[schemars(example = "account-6f1a7c1e-0000-4000-8000-000000000001")]
    key: String,
    /// Who decides, where the surface does not know who asks: 1 to 128 visible ASCII characters.
    #[schemars(example = &"ada", regex(pattern = "^[!-~]{1,128}$"))]
    actor: Option<String>,
}

/// The body of `POST /admin/quarantine/discard`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct DiscardBody {
    /// The handler's name: a projection's, `process/` and a process manager's, or `reactor/` and a reactor's.
    #[schemars(example = "account-summaries")]
    handler: String,
    /// The key.
    #[schemars(example = "account-6f1a7c1e-0000-4000-8000-000000000001")]
    key: String,
    /// The id of the event of the key's first message.
    #[schemars(extend("format" = "uuid"), example = &"6f1a7c1e-0000-4000-8000-000000000007")]
    event_id: String,
    /// Why, in 1 to 500 characters.
    #[schemars(length(min = 1, max = 500), example = "sent by a test, never happened")]
    reason: String,
    /// Who decides, where the surface does not know who asks: 1 to 128 visible ASCII characters.
    #[schemars(example = &"ada", regex(pattern = "^[!-~]{1,128}$"))]
    actor: Option<String>,
}

#[derive(Deserialize)]
struct ListParameters {
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct ShowParameters {
    handler: String,
    key: String,
    after: Option<String>,
    limit: Option<usize>,
}

impl From<(Listed, Shown)> for ParkedMessagesAnswer {
    fn from((about, Shown { messages, next, .. }): (Listed, Shown)) -> Self {
        Self {
            about: about.into(),
            messages: messages.into_iter().map(Into::into).collect(),
            next: next.map(|next| next.to_string()),
        }
    }
}

impl From<Listed> for ParkedKeyAnswer {
    fn from(listed: Listed) -> Self {
        let Listed { handler, version, loop_name, about } = listed;
        Self {
            handler,
            version,
            loop_name: loop_name.as_ref().to_owned(),
            key: about.key,
            topic: about.topic,
            partition: about.partition,
            reason: about.reason,
            since: about.since.to_string(),
            tried_at: about.tried_at.to_string(),
            attempts: about.attempts,
            messages: about.messages,
            event_id: about.event_id.to_string(),
            name: about.name,
            position: about.position,
        }
    }
}

impl From<ParkedMessage> for ParkedMessageAnswer {
    fn from(message: ParkedMessage) -> Self {
        Self {
            event_id: message.event_id.to_string(),
            name: message.name,
            stream: message.stream,
            version: message.version,
            position: message.position,
            recorded_at: message.recorded_at.to_string(),
            parked_at: message.parked_at.to_string(),
            correlation_id: message.correlation_id.to_string(),
            actor: message.actor.as_str().to_owned(),
            data: message.data,
            data_base64: message.data_base64,
        }
    }
}

impl From<Handled> for HandledAnswer {
    fn from(handled: Handled) -> Self {
        let Handled { done, left, failed } = handled;
        Self { done, left, failed }
    }
}

impl From<RetriedKeys> for RetriedKeysAnswer {
    fn from(RetriedKeys { keys, next }: RetriedKeys) -> Self {
        let answered =
            |RetriedKey { key, handled: Handled { done, left, failed } }| RetriedKeyAnswer { key, done, left, failed };
        Self { keys: keys.into_iter().map(answered).collect(), next }
    }
}

impl From<QuarantineError> for Problem {
    fn from(error: QuarantineError) -> Self {
        let text = error.to_string();
        match error {
            QuarantineError::UnknownHandler { .. } => Self::invalid("handler", &text),
            QuarantineError::NotTheFirst { .. } | QuarantineError::Applied { .. } => Self::invalid("event_id", &text),
            QuarantineError::NotParked { .. } | QuarantineError::NotAfter { .. } | QuarantineError::NoStore => {
                Self::of(Code::NotFound, text)
            }
            QuarantineError::Busy { .. } | QuarantineError::NoAnswer(_) => Self::unavailable(&text),
            QuarantineError::Store(error) => store_unavailable(&error),
            QuarantineError::Append(error) => not_recorded(&error, AFTER_FAILURE),
            QuarantineError::Read(error) => failed(error, AFTER_FAILURE),
            QuarantineError::Task(_) => {
                tracing::error!(error = text, "quarantine: what is parked cannot be read");
                Self::internal()
            }
        }
    }
}

/// The keys that are parked.
pub(super) async fn list(
    State(Admin { shared, quarantine }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    RawQuery(parameters): RawQuery,
) -> Result<Json<QuarantineAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let ListParameters { limit: said } = from_query_string(parameters.as_deref().unwrap_or_default())?;
    let limit = limit(said, (PARKED_DEFAULT, PARKED_MAX))?;
    let keys = shared.gate.run(owner, "ask again", async move { quarantine.list(limit).await }).await??;
    Ok(Json(QuarantineAnswer { keys: keys.into_iter().map(Into::into).collect() }))
}

/// A key with its messages.
pub(super) async fn show(
    State(Admin { shared, quarantine }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    RawQuery(parameters): RawQuery,
) -> Result<Json<ParkedAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let parameters = from_query_string(parameters.as_deref().unwrap_or_default())?;
    let ShowParameters { handler, key, after, limit: said } = parameters;
    let limit = limit(said, (PARKED_DEFAULT, PARKED_MAX))?;
    let after = after.map(|after| event("after", &after)).transpose()?;
    let work = async move { quarantine.show(&handler, &key, after, limit).await };
    let found = shared.gate.run(owner, "ask again", work).await??;
    Ok(Json(ParkedAnswer { parked: found.into_iter().map(Into::into).collect() }))
}

/// Tries a key's messages again.
pub(super) async fn retry(
    State(Admin { shared, quarantine }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HandledAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let RetryBody { handler, key, actor } = document(&shared, &headers, body).await?;
    let actor = who(&shared, &headers, actor)?;
    let work = async move { quarantine.retry(&handler, &key, actor).await };
    Ok(Json(shared.gate.run(owner, AFTER_TIMEOUT, work).await??.into()))
}

/// Tries keys of a handler again.
pub(super) async fn retry_all(
    State(Admin { shared, quarantine }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RetriedKeysAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let RetryAllBody { handler, after, limit: said, actor } = document(&shared, &headers, body).await?;
    let (limit, actor) = (limit(said, (RETRY_KEYS_MAX, RETRY_KEYS_MAX))?, who(&shared, &headers, actor)?);
    let work = async move { quarantine.retry_all(&handler, after.as_deref(), limit, actor).await };
    Ok(Json(shared.gate.run(owner, AFTER_TIMEOUT, work).await??.into()))
}

/// Drops a key's first message, for good.
pub(super) async fn discard(
    State(Admin { shared, quarantine }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HandledAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let DiscardBody { handler, key, event_id, reason, actor } = document(&shared, &headers, body).await?;
    let (actor, event, reason) = (who(&shared, &headers, actor)?, event("event_id", &event_id)?, why(&reason)?);
    let work = async move { quarantine.discard(&handler, &key, event, reason, actor).await };
    Ok(Json(shared.gate.run(owner, AFTER_TIMEOUT, work).await??.into()))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn who_is_busy_is_asked_again_and_who_is_not_there_is_not() {
        let answer = |error: QuarantineError| {
            let answer = Problem::from(error).into_response();
            (answer.status().as_u16(), answer.headers().contains_key(http::header::RETRY_AFTER))
        };
        assert_eq!(answer(QuarantineError::Busy { handler: "totals".to_owned() }), (503, true));
        let (name, known) = ("sums".to_owned(), "totals".to_owned());
        assert_eq!(answer(QuarantineError::UnknownHandler { name, known }), (400, false));
    }
}
