//! From a stream to the state of its aggregate.

use std::panic::{AssertUnwindSafe, catch_unwind};

use factum_engine::{Direction, Position, StreamName, Version};

use super::DispatchError;
use crate::{
    model::{Aggregate, Decoded},
    runtime::panic_text,
    store::EventStore,
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
            match event.decode::<A::Event>()? {
                Decoded::Known(fact) => fold(&mut loaded.state, &fact)?,
                // Deciding on a state that lacks a fact would be deciding on a guess.
                Decoded::Unknown => {
                    let what = format!("{stream} holds `{}`, which this build does not know", event.name);
                    return Err(DispatchError::Corrupt(what));
                }
            }
            loaded.version = event.version;
            loaded.position = event.position;
        }
        if batch.end {
            return Ok(loaded);
        }
    }
}

fn fold<A: Aggregate>(state: &mut A, fact: &A::Event) -> Result<(), DispatchError<A::Rejection>> {
    catch_unwind(AssertUnwindSafe(|| state.apply(fact)))
        .map_err(|payload| DispatchError::Panicked(panic_text(payload.as_ref())))
}
