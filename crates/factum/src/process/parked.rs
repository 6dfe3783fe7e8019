//! A timer among parked messages: it stands in the line of its process like a message.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::pending::Timer;
use crate::{
    model::{ActorId, Delivery, EventId, Source},
    quarantine::ParkedMessage,
    read::ReadError,
    store::{Position, StreamName, Version},
};

/// What a timer is called among messages. A message is never called so: its name has a version.
const TIMER_DUE: &str = "timer.due";
/// Under this namespace (UUID v5, RFC 9562) the ids of timers among parked messages are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0xc4b2_6e19_5f83_4d7a_a0c5_3e96_12bd_f870);

/// The document of a timer among parked messages.
#[derive(Serialize, Deserialize)]
struct TimerDue {
    timer: String,
    set_by: EventId,
}

pub(super) fn is_timer(name: &str) -> bool {
    name == TIMER_DUE
}

/// What a timer is known as: one event may set several.
pub(super) fn id(timer: &Timer) -> EventId {
    let Timer { stream, name, set_by, .. } = timer;
    EventId::from_uuid(Uuid::new_v5(&NAMESPACE, format!("{stream}\n{set_by}\n{name}").as_bytes()))
}

/// A timer as a message to be parked: its name, its document, and what else is told of messages.
pub(super) fn message(timer: &Timer, source: Source) -> (&'static str, Vec<u8>, Delivery) {
    let document = TimerDue { timer: timer.name.to_string(), set_by: timer.set_by };
    let delivery = Delivery {
        source,
        position: timer.position,
        stream: timer.stream.clone(),
        version: timer.version,
        event_id: id(timer),
        recorded_at: timer.due,
        command_id: None,
        bus_command: None,
        correlation_id: timer.correlation_id,
        actor: ActorId::system(),
    };
    // A name and an id can be written.
    (TIMER_DUE, serde_json::to_vec(&document).unwrap_or_default(), delivery)
}

/// The timer that a parked message is.
pub(super) fn timer(message: &ParkedMessage) -> Result<Timer, ReadError> {
    let damaged = |source: Box<dyn std::error::Error + Send + Sync>| ReadError::Damaged {
        place: format!("the parked timer {}", message.event_id),
        source,
    };
    let TimerDue { timer, set_by } =
        serde_json::from_slice(&message.document()?).map_err(|error| damaged(error.into()))?;
    Ok(Timer {
        stream: StreamName::new(&message.stream).map_err(|error| damaged(error.into()))?,
        name: timer.into(),
        due: message.recorded_at,
        set_by,
        version: Version::new(message.version),
        position: Position::new(message.position),
        correlation_id: message.correlation_id,
    })
}
