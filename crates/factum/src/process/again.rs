//! A decision taken again, to see that it turns out the same.

use super::route::route;
use crate::{
    bus::Envelope,
    model::{Context, Event as _, Input, ProcessManager},
    runtime::contained,
};

/// What a process decided about.
#[derive(Clone, Copy)]
pub(crate) enum About<'a> {
    /// A message.
    Message(&'a Envelope),
    /// A timer that was due.
    Timer(&'a str),
}

/// The names and documents of what a process decides on a state; a panic's or a decoding's message.
pub(crate) fn decide_again<P: ProcessManager>(
    state: &P,
    about: About<'_>,
    context: &Context,
) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
    let events = match about {
        About::Timer(timer) => contained(|| state.decide(Input::Due { timer }, context))?,
        About::Message(message) => {
            let delivery = message.delivery();
            let routed = route::<P>(message.raw(), &delivery).map_err(|error| error.to_string())?;
            let Some(routed) = routed else { return Ok(Vec::new()) };
            contained(|| state.decide(routed.what.input(), context))?
        }
    };
    let written = events.as_slice().iter().map(|event| {
        let mut data = Vec::new();
        event.encode(&mut data);
        (event.name(), data)
    });
    Ok(written.collect())
}
