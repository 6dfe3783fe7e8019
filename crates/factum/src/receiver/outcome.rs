//! Outcomes of bus commands that led to no events of an aggregate: recorded, and published.

use std::sync::Arc;

use factum_engine::{ExpectedVersion, InvalidName, StreamName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Event, Message,
    model::{DecodeError, Decoded, EventId, MessageType, Source, Timestamp},
    relay::{AnyPublication, DynPublication, OutgoingMessage, PARTITIONS_DEFAULT},
    store::{Append, CommandRecord, Metadata, NewEvent, RecordedEvent},
};

/// The category of outcomes' streams; what follows is the effective command id.
pub(crate) const OUTCOME_CATEGORY: &str = "outcome";
/// The partitions of every topic of outcomes.
pub(crate) const OUTCOME_PARTITIONS: u32 = PARTITIONS_DEFAULT;
/// What is on a topic of outcomes.
pub(crate) const OUTCOME_MESSAGES: &[MessageType] =
    &[MessageType::of::<CommandRefused>(), MessageType::of::<CommandNothingToDo>()];
/// The most characters of a refusal's words that are recorded.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// The end of a bus command that is no event of its aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub(super) enum Outcome {
    #[factum(name = "outcome.refused")]
    Refused(Refused),
    #[factum(name = "outcome.nothing-to-do")]
    NothingToDo(NothingToDo),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NothingToDo {}

/// A command was refused, or cancelled before it was dealt with: nothing came of it, and nothing ever will. Its id is
/// the message's command id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "factum.command-refused.v1")]
pub struct CommandRefused {
    /// A stable code in kebab-case: the rejection's; `cancelled`; `malformed`, `invalid`, `unknown-command`, `denied`,
    /// `panicked`, `too-large`.
    pub code: String,
    /// The same in words.
    pub message: String,
}

/// A command was accepted, and changed nothing. Its id is the message's command id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "factum.command-nothing-to-do.v1")]
pub struct CommandNothingToDo {}

impl Outcome {
    pub(super) fn refused(code: &str, message: impl ToString) -> Self {
        let message = message.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
        Self::Refused(Refused { code: code.to_owned(), message })
    }

    /// The append that records it, unless its command id is taken.
    pub(super) fn append(
        &self,
        record: CommandRecord,
        metadata: Metadata,
        now: Timestamp,
    ) -> Result<Append, InvalidName> {
        let stream = StreamName::new(format!("{OUTCOME_CATEGORY}-{}", record.id))?;
        let event = NewEvent::of(EventId::from_uuid(record.id.derive("outcome")), self);
        Ok(Append::new(metadata, now).stream(stream, ExpectedVersion::NoStream, vec![event]).command(record))
    }

    fn message(self) -> OutgoingMessage {
        fn outgoing<M: Message>(message: &M) -> OutgoingMessage {
            let data = serde_json::to_vec(message).expect("texts can be written as JSON");
            OutgoingMessage { name: M::NAME, data, key: None, command_id: None }
        }
        match self {
            Self::Refused(Refused { code, message }) => outgoing(&CommandRefused { code, message }),
            Self::NothingToDo(NothingToDo {}) => outgoing(&CommandNothingToDo {}),
        }
    }
}

/// The topic on which a service publishes them.
pub(crate) fn outcome_topic(system: &str, service: &str) -> String {
    format!("{system}.{service}.{OUTCOME_CATEGORY}.events")
}

/// The publication of a service's outcomes.
pub(crate) fn outcomes(system: &str, service: &str) -> DynPublication {
    Arc::new(Outcomes { topic: outcome_topic(system, service) })
}

struct Outcomes {
    topic: String,
}

impl AnyPublication for Outcomes {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn partitions(&self) -> u32 {
        OUTCOME_PARTITIONS
    }

    fn translate(&self, event: &RecordedEvent, _: Source) -> Result<Option<OutgoingMessage>, DecodeError> {
        if event.stream.category() != OUTCOME_CATEGORY {
            return Ok(None);
        }
        match event.decode::<Outcome>()? {
            Decoded::Known(outcome) => Ok(Some(outcome.message())),
            Decoded::Unknown => Ok(None),
        }
    }
}
