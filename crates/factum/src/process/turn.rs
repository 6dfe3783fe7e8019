//! The turn of a timer whose time has come: it fires, waits for its process, or is parked.

use super::{erased::AnyProcess, parked, pending::Timer};
use crate::{
    model::{RawEvent, Source},
    quarantine::{EventShelf, Incoming},
};

/// What came of a timer's turn.
pub(super) enum Attempt {
    /// It has fired, or is not set any more.
    Over,
    /// It stands in the line of its process, which is parked, or waits until that is free.
    Waits,
    /// It could not fire, and could not be parked.
    Failed(String),
}

/// Lets a timer fire, unless its process is parked: it does not overtake what came before it. When that fails for good,
/// its process is parked, with the timer as the first in the line.
pub(super) async fn attempt(process: &dyn AnyProcess, shelf: &EventShelf, timer: &Timer, source: Source) -> Attempt {
    if shelf.was_discarded(parked::id(timer)) {
        let passed = process.pass_over(timer).await;
        return passed.map_or_else(|error| Attempt::Failed(error.to_string()), |()| Attempt::Over);
    }
    if shelf.holds(timer.stream.as_str()) {
        return Attempt::Waits;
    }
    let error = match process.fire(timer).await {
        Ok(_) => return Attempt::Over,
        Err(error) if error.is_transient() => return Attempt::Failed(error.to_string()),
        Err(error) => error.to_string(),
    };
    let (name, data, delivery) = parked::message(timer, source);
    let incoming = Incoming { raw: RawEvent { name, schema: 1, data: &data }, delivery, partition: None };
    match shelf.park(timer.stream.as_str(), &incoming, &error).await {
        Ok(()) => Attempt::Waits,
        Err(why) => Attempt::Failed(format!("{error}; it is not parked: {why}")),
    }
}
