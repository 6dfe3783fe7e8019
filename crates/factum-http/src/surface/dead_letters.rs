//! `/admin/dead-letters`: what came as a command and is none, and acknowledging it, for operators on the same machine.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{RawQuery, State},
};
use factum::{
    input::from_query_string,
    receiver::{DeadLetter, DeadLetterError, DeadLetters},
};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    operators::{Peer, document, event, limit, nobody_else, not_recorded, who, why},
};
use crate::{answers::store_unavailable, code::Code, problem::Problem, work::Work};

/// How many letters an answer has unless told otherwise.
pub(crate) const LETTERS_DEFAULT: usize = 100;
/// The most it has.
pub(crate) const LETTERS_MAX: usize = 1_000;

/// What to do about an acknowledgement that took too long.
const AFTER_TIMEOUT: &str = "whether it was recorded is not known: look at what waits, and ask again";
/// What to do when one failed.
const AFTER_FAILURE: &str = "the event store cannot answer now: look at what waits, and ask again";
/// What strangers are told.
const SHOWN: &str = "dead letters are shown";

/// What the routes work with.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) shared: Arc<Shared>,
    pub(super) dead_letters: Arc<DeadLetters>,
}

/// The body of `GET /admin/dead-letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DeadLettersAnswer {
    /// How many letters nobody has acknowledged.
    pub open: u64,
    /// The first of them, in the order in which they came.
    pub letters: Vec<DeadLetterAnswer>,
}

/// A record that is no command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DeadLetterAnswer {
    /// The id of the event that keeps it: what an acknowledgement names.
    pub event_id: String,
    /// That event's stream; the event has the whole record.
    #[schemars(example = "dead_letter-bank.accounts.commands.transfers.3")]
    pub stream: String,
    /// Its number in that stream.
    pub version: u64,
    /// When it came.
    pub received_at: String,
    /// Where it came.
    #[schemars(example = "bank.accounts.commands.transfers")]
    pub topic: String,
    /// Where on that topic.
    pub partition: u32,
    /// Where on that partition.
    pub offset: u64,
    /// Why it is no command.
    pub reason: String,
    /// The beginning of it, at most 200 characters, where it is text.
    pub text: Option<String>,
    /// Its size in bytes.
    pub value_bytes: u64,
}

/// What became of letters that were acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct AcknowledgedAnswer {
    /// How many wait no longer.
    pub done: u64,
    /// How many still wait.
    pub left: u64,
}

/// The body of `POST /admin/dead-letters/acknowledge`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct AcknowledgeBody {
    /// The id of a letter's event: it and those before it on its partition are acknowledged.
    #[schemars(extend("format" = "uuid"), example = &"6f1a7c1e-0000-4000-8000-000000000007")]
    event_id: String,
    /// Why, in 1 to 500 characters.
    #[schemars(length(min = 1, max = 500), example = "sent by a test, never meant")]
    reason: String,
    /// Who decides, where the surface does not know who asks: 1 to 128 visible ASCII characters.
    #[schemars(example = &"ada", regex(pattern = "^[!-~]{1,128}$"))]
    actor: Option<String>,
}

#[derive(Deserialize)]
struct ListParameters {
    limit: Option<usize>,
}

impl From<DeadLetter> for DeadLetterAnswer {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { topic, partition, offset, reason, text, value_bytes, .. } = letter;
        Self {
            event_id: letter.event_id.to_string(),
            stream: letter.stream.to_string(),
            version: letter.version.get(),
            received_at: letter.received_at.to_string(),
            topic,
            partition,
            offset,
            reason,
            text,
            value_bytes,
        }
    }
}

impl From<DeadLetterError> for Problem {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::NotOpen(_) => Self::of(Code::NotFound, error.to_string()),
            DeadLetterError::Store(error) => store_unavailable(&error),
            DeadLetterError::Append(error) => not_recorded(&error, AFTER_FAILURE),
        }
    }
}

/// The letters that nobody has acknowledged.
pub(super) async fn list(
    State(Admin { shared, dead_letters }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    RawQuery(parameters): RawQuery,
) -> Result<Json<DeadLettersAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let ListParameters { limit: said } = from_query_string(parameters.as_deref().unwrap_or_default())?;
    let limit = limit(said, (LETTERS_DEFAULT, LETTERS_MAX))?;
    let work = async move { dead_letters.list(limit).await.map_err(DeadLetterError::from) };
    let (open, letters) = shared.gate.run(owner, "ask again", work).await??;
    Ok(Json(DeadLettersAnswer { open: open as u64, letters: letters.into_iter().map(Into::into).collect() }))
}

/// Somebody has dealt with a letter, and with those before it on its partition.
pub(super) async fn acknowledge(
    State(Admin { shared, dead_letters }): State<Admin>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AcknowledgedAnswer>, Problem> {
    nobody_else(SHOWN, peer, &headers)?;
    let AcknowledgeBody { event_id, reason, actor } = document(&shared, &headers, body).await?;
    let (actor, event, reason) = (who(&shared, &headers, actor)?, event("event_id", &event_id)?, why(&reason)?);
    let work = async move { dead_letters.acknowledge(event, reason, actor).await };
    let (done, left) = shared.gate.run(owner, AFTER_TIMEOUT, work).await??;
    Ok(Json(AcknowledgedAnswer { done: done as u64, left: left as u64 }))
}
