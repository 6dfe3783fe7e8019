//! From a stream to the state of its aggregate.

use factum_engine::{Direction, Position, StreamName, Version};

use super::DispatchError;
use crate::{
    model::{Aggregate, Decoded, Event, RawEvent},
    runtime::contained,
    store::{EventStore, NewEvent},
};

/// How many events one read of a stream asks for.
const LOAD_PAGE_EVENTS: usize = 512;

/// An aggregate's state, and the version it stands for.
pub(super) struct Loaded<A> {
    pub(super) state: A,
    pub(super) version: Version,
    /// The position of the last event folded in.
    pub(super) position: Position,
}

impl<A: Aggregate> Loaded<A> {
    /// The state once these events are recorded, folded from their documents: so an event that could not be read
    /// back, or not be folded, is refused before it is written.
    pub(super) fn after(mut self, events: &[NewEvent]) -> Result<Self, DispatchError<A::Rejection>> {
        let folded = contained(|| {
            events.iter().try_for_each(|event| {
                let raw = RawEvent { name: &event.name, schema: event.schema, data: &event.data };
                fold(&mut self.state, raw).map_err(|error| format!("`{}` cannot be read back: {error}", event.name))
            })
        });
        folded.map_err(DispatchError::Panicked)?.map_err(DispatchError::Refused)?;
        Ok(self)
    }

    /// Whether the stream is still where this state was left.
    pub(super) async fn is_current(
        &self,
        store: &dyn EventStore,
        stream: &StreamName,
    ) -> Result<bool, DispatchError<A::Rejection>> {
        let batch = store.read_stream(stream, self.version.next(), Direction::Forward, 1).await?;
        Ok(batch.events.is_empty())
    }
}

/// Folds a stream from its beginning.
pub(super) async fn load<A: Aggregate>(
    store: &dyn EventStore,
    stream: &StreamName,
) -> Result<Loaded<A>, DispatchError<A::Rejection>> {
    let mut loaded = Loaded { state: A::default(), version: Version::ZERO, position: Position::ZERO };
    loop {
        let from = loaded.version.next();
        let batch = store.read_stream(stream, from, Direction::Forward, LOAD_PAGE_EVENTS).await?;
        for event in &batch.events {
            assert_eq!(event.version, loaded.version.next(), "versions of {stream} are dense");
            // The state is dropped after a panic, never used again.
            let raw = RawEvent { name: &event.name, schema: event.schema, data: &event.data };
            let folded = contained(|| fold(&mut loaded.state, raw)).map_err(DispatchError::Panicked)?;
            folded.map_err(|error| DispatchError::Corrupt(format!("{stream} version {}: {error}", event.version)))?;
            loaded.version = event.version;
            loaded.position = event.position;
        }
        if batch.end {
            return Ok(loaded);
        }
    }
}

fn fold<A: Aggregate>(state: &mut A, raw: RawEvent<'_>) -> Result<(), String> {
    match A::Event::decode(raw) {
        Ok(Decoded::Known(fact)) => {
            state.apply(&fact);
            Ok(())
        }
        // Deciding on a state that lacks a fact would be deciding on a guess.
        Ok(Decoded::Unknown) => Err(format!("this build does not know `{}`", raw.name)),
        Err(error) => Err(error.to_string()),
    }
}
