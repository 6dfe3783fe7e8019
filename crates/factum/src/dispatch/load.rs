//! From a stream to the state of its aggregate.

use factum_engine::{Direction, Position, StreamName, Version};

use super::DispatchError;
use crate::{
    model::{Aggregate, Decoded},
    runtime::contained,
    store::{EventStore, RecordedEvent},
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
            let folded = contained(|| fold(&mut loaded.state, event)).map_err(DispatchError::Panicked)?;
            folded.map_err(DispatchError::Corrupt)?;
            loaded.version = event.version;
            loaded.position = event.position;
        }
        if batch.end {
            return Ok(loaded);
        }
    }
}

fn fold<A: Aggregate>(state: &mut A, event: &RecordedEvent) -> Result<(), String> {
    match event.decode::<A::Event>() {
        Ok(Decoded::Known(fact)) => {
            state.apply(&fact);
            Ok(())
        }
        // Deciding on a state that lacks a fact would be deciding on a guess.
        Ok(Decoded::Unknown) => Err(format!("{} holds `{}`, which this build does not know", event.stream, event.name)),
        Err(error) => Err(format!("{} version {}: {error}", event.stream, event.version)),
    }
}
