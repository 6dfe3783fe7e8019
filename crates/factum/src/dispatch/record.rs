//! From decided facts to an append.

use factum_engine::{ExpectedVersion, StreamName, Version};

use super::{DispatchError, dispatcher::Core, run::Request};
use crate::{
    model::{CommandId, Event, EventId},
    runtime::contained,
    store::{Append, Metadata, NewEvent, Receipt, RecordedEvent},
};

/// What an append will have recorded, once its receipt says where.
pub(super) struct Recorded(Option<Append>);

/// The append of what was decided on a stream at a version.
pub(super) fn record<E: Event, R>(
    core: &Core,
    stream: &StreamName,
    version: Version,
    facts: &[E],
    request: &Request,
) -> Result<(Append, Recorded), DispatchError<R>> {
    let events = new_events(facts, request.record.id).map_err(DispatchError::Panicked)?;
    let metadata = Metadata {
        correlation_id: request.correlation_id,
        causation_id: request.causation_id,
        actor: request.principal.actor.clone(),
        bus_command: request.bus_command.clone(),
    };
    let append = Append::new(metadata, request.now)
        .stream(stream.clone(), ExpectedVersion::Exact(version), events)
        .command(request.record);
    // Only publications look at what was recorded.
    let recorded = Recorded((!core.publications.is_empty()).then(|| append.clone()));
    Ok((append, recorded))
}

/// What was decided under a command id, as it is appended.
///
/// # Errors
/// Writing one of them panicked: the panic's message.
pub(crate) fn new_events<E: Event>(facts: &[E], command: CommandId) -> Result<Vec<NewEvent>, String> {
    // Derived, so that an attempt repeated after a conflict or a lost answer means the same event.
    let id = |index: usize| EventId::from_uuid(command.derive(&format!("event {index}")));
    contained(|| facts.iter().enumerate().map(|(index, fact)| NewEvent::of(id(index), fact)).collect())
}

impl Recorded {
    /// The events as the store has them.
    pub(super) fn events(self, receipt: &Receipt) -> Vec<RecordedEvent> {
        let Some(Append { streams, command, metadata, recorded_at, .. }) = self.0 else { return Vec::new() };
        let mut position = receipt.first;
        let mut events = Vec::new();
        for part in streams {
            let ExpectedVersion::Exact(mut version) = part.expected else { continue };
            for event in part.events {
                version = version.next();
                events.push(RecordedEvent {
                    position,
                    stream: part.stream.clone(),
                    version,
                    id: event.id,
                    name: event.name.into(),
                    schema: event.schema,
                    tags: event.tags,
                    data: event.data.into(),
                    command_id: command.map(|command| command.id),
                    metadata: metadata.clone(),
                    recorded_at,
                });
                position = position.next();
            }
        }
        assert_eq!(position, receipt.last.next(), "an append is recorded whole");
        events
    }
}
