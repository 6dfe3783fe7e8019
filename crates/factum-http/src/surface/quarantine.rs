//! `/admin/quarantine`: what is parked, and what operators on the same machine decide about it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{RawQuery, State},
};
use factum::{
    input::from_query_string,
    quarantine::{Listed, PARKED_MESSAGES_MAX, Quarantine, QuarantineError, RETRY_KEYS_MAX, Shown},
};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Shared,
    operators::{Peer, document, event, failed, limit, nobody_else, not_recorded, who, why},
    parked::{HandledAnswer, ParkedAnswer, ParkedMessagesAnswer, QuarantineAnswer, RetriedKeysAnswer},
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
