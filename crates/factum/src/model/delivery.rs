//! What a projection is told about an event besides the event.

use std::sync::Arc;

use factum_engine::{Position, StreamName, Version};

use super::{ActorId, CommandId, CorrelationId, EventId, Incarnation, StoreId, Timestamp};

/// A publishing store: its id and its unbroken history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Which store.
    pub store: StoreId,
    /// Which history of it.
    pub incarnation: Incarnation,
}

/// Where, when and why an event was recorded. The same for the service's own events and for messages from the bus:
/// there it tells what the publisher recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The store that recorded it.
    pub source: Source,
    /// Its place in that store.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: StreamName,
    /// Its number in that stream, from 1.
    pub version: Version,
    /// Its own id.
    pub event_id: EventId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The effective id of the command that caused it, in the service that recorded it.
    pub command_id: Option<CommandId>,
    /// The id of the bus command that caused it, as its sender sent it.
    pub bus_command: Option<Arc<str>>,
    /// What it belongs to across services.
    pub correlation_id: CorrelationId,
    /// Who asked for it.
    pub actor: ActorId,
}

impl Delivery {
    /// The text of the aggregate's id: the stream's name after the category.
    ///
    /// ```
    /// # use factum::{Delivery, testing};
    /// # let delivery = testing::delivery("account-7f3", 1);
    /// assert_eq!(delivery.aggregate_id(), "7f3");
    /// ```
    pub fn aggregate_id(&self) -> &str {
        self.stream.id()
    }
}
