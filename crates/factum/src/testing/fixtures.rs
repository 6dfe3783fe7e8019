//! Fixed values, so that a test says only what it is about.

use factum_engine::{Position, StreamName, Version};
use uuid::Uuid;

use crate::{
    Event,
    model::{ActorId, CommandId, CorrelationId, Delivery, EventId, Incarnation, Source, StoreId, Timestamp},
};

/// When stories happen unless they say otherwise: 2026-11-23T09:30:00Z.
pub const NOW: Timestamp = Timestamp::from_micros(1_795_426_200_000_000);
/// Who asks unless a story says otherwise.
pub const ACTOR: &str = "tester";
/// The id of a story's first command unless it says otherwise.
pub const COMMAND_ID: CommandId = CommandId::from_uuid(Uuid::from_u128(0x0c0d_0000_0000_4000_8000_0000_0000_0001));
/// The store that [`delivery`] says recorded the event.
pub const SOURCE: Source = Source {
    store: StoreId::from_uuid(Uuid::from_u128(0x5707_0000_0000_4000_8000_0000_0000_0001)),
    incarnation: Incarnation::from_uuid(Uuid::from_u128(0x14c0_0000_0000_4000_8000_0000_0000_0001)),
};

/// Nothing that ever happens, for projections and aggregates of which only the rest matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Event)]
pub enum NoEvent {}

/// What a projection is told about the event of this version of a stream, in a store that holds nothing else: its
/// position is its version too. The same arguments give the same delivery.
///
/// # Panics
/// No stream can have this name, or the version is zero: events are counted from 1.
#[track_caller]
pub fn delivery(stream: &str, version: u64) -> Delivery {
    let Ok(name) = StreamName::new(stream) else { panic!("no stream can be named `{stream}`") };
    assert!(version > 0, "there is no event {version} of {stream}: they are counted from 1");
    let event = CorrelationId::from_uuid(COMMAND_ID.as_uuid()).derive(&format!("{stream} {version}"));
    Delivery {
        source: SOURCE,
        position: Position::new(version),
        stream: name,
        version: Version::new(version),
        event_id: EventId::from_uuid(event),
        recorded_at: NOW,
        command_id: Some(COMMAND_ID),
        bus_command: None,
        correlation_id: CorrelationId::from_uuid(COMMAND_ID.as_uuid()),
        actor: actor(ACTOR),
    }
}

/// An actor by its id.
#[track_caller]
pub(super) fn actor(id: &str) -> ActorId {
    let Some(actor) = ActorId::new(id) else {
        panic!("`{id}` is no actor id: write 1 to {} bytes of visible ASCII", ActorId::BYTES_MAX)
    };
    actor
}
