//! What is answered about what is parked.

use factum::quarantine::{Handled, Listed, ParkedMessage, RetriedKey, RetriedKeys};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
