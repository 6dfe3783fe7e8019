//! What a decision may know besides state and command.

use factum_engine::{StreamName, Version};
use uuid::Uuid;

use super::{ActorId, CommandId, Timestamp};

/// Everything a decision may know besides state and command. Fixed once per command: a retry after a conflict sees
/// the same time and the same ids.
#[derive(Clone, Debug)]
pub struct Context {
    parts: ContextParts,
}

/// What a [`Context`] is made of.
#[derive(Clone, Debug)]
pub struct ContextParts {
    /// When the command was accepted for decision.
    pub now: Timestamp,
    /// The effective command id.
    pub command_id: CommandId,
    /// Who asked.
    pub actor: ActorId,
    /// The stream of the aggregate that decides.
    pub stream: StreamName,
    /// The version of the state decided on.
    pub version: Version,
}

impl Context {
    /// Puts a context together; tests do this too.
    pub const fn new(parts: ContextParts) -> Self {
        Self { parts }
    }

    /// The moment of the decision.
    pub const fn now(&self) -> Timestamp {
        self.parts.now
    }

    /// The effective command id.
    pub const fn command_id(&self) -> CommandId {
        self.parts.command_id
    }

    /// Who asked.
    pub const fn actor(&self) -> &ActorId {
        &self.parts.actor
    }

    /// The stream of the aggregate that decides.
    pub const fn stream(&self) -> &StreamName {
        &self.parts.stream
    }

    /// The version of the state decided on; [`Version::ZERO`] when nothing has happened yet.
    pub const fn version(&self) -> Version {
        self.parts.version
    }

    /// An id for something this decision makes, derived from the command id and a label: the same on every retry.
    pub fn derived_id(&self, label: &str) -> Uuid {
        self.parts.command_id.derive(label)
    }
}
