//! Which process something heard is for, and as what it hears it.

use factum_engine::StreamName;
use serde::Deserialize;

use super::HearError;
use crate::{
    bus::{NOTHING_TO_DO_NAME, REFUSED_NAME, sender_of},
    model::{
        DecodeError, Decoded, Delivery, Event, Input, ProcessManager, RawEvent, Refusal, Unreadable, document,
        stream_of,
    },
    runtime::contained,
};

/// Something for a process.
pub(super) struct Routed<'a, M> {
    pub(super) stream: StreamName,
    /// It is about a command that the process has sent.
    pub(super) answers: bool,
    pub(super) what: Told<'a, M>,
}

/// An [`Input`] with what it refers to.
pub(super) enum Told<'a, M> {
    Message { message: M, step: Option<&'a str> },
    Refused { step: &'a str, refusal: Refusal },
    NothingToDo { step: &'a str },
}

#[derive(Deserialize)]
struct Refused {
    code: String,
    message: String,
}

impl<M> Told<'_, M> {
    pub(super) const fn input(&self) -> Input<'_, M> {
        match self {
            Self::Message { message, step } => Input::Message { message, step: *step },
            Self::Refused { step, refusal } => Input::Refused { step, refusal },
            Self::NothingToDo { step } => Input::NothingToDo { step },
        }
    }
}

/// Which process a message is for; `None`: for none.
pub(super) fn route<'a, P: ProcessManager>(
    raw: RawEvent<'_>,
    delivery: &'a Delivery,
) -> Result<Option<Routed<'a, P::Message>>, HearError> {
    let own = delivery.bus_command.as_deref().and_then(own_command::<P>);
    match (raw.name, own) {
        (NOTHING_TO_DO_NAME, own) => {
            Ok(own.map(|(stream, step)| Routed { stream, answers: true, what: Told::NothingToDo { step } }))
        }
        (REFUSED_NAME, None) => Ok(None),
        (REFUSED_NAME, Some((stream, step))) => {
            let refusal = refusal(raw)?;
            Ok(Some(Routed { stream, answers: true, what: Told::Refused { step, refusal } }))
        }
        (_, own) => {
            let decoded = contained(|| P::Message::decode(raw)).map_err(HearError::Panicked)?;
            let Decoded::Known(message) = decoded.map_err(HearError::Unreadable)? else { return Ok(None) };
            if let Some((stream, step)) = own {
                return Ok(Some(Routed { stream, answers: true, what: Told::Message { message, step: Some(step) } }));
            }
            let id = contained(|| P::correlate(&message, delivery)).map_err(HearError::Panicked)?;
            let Some(id) = id else { return Ok(None) };
            let stream = contained(|| stream_of::<P>(&id)).map_err(HearError::Panicked)?;
            let stream = stream.map_err(|error| HearError::Refused(format!("the process's id: {error}")))?;
            Ok(Some(Routed { stream, answers: false, what: Told::Message { message, step: None } }))
        }
    }
}

/// The keys of a message: its process, and the stream it is of. What nobody can tell the process of has the stream alone:
/// what comes after it from there may be for the same process.
pub(super) fn keys<P: ProcessManager>(raw: RawEvent<'_>, delivery: &Delivery) -> Vec<String> {
    let own = || delivery.bus_command.as_deref().and_then(own_command::<P>).map(|(stream, _)| stream);
    let process = match route::<P>(raw, delivery) {
        Ok(None) => return Vec::new(),
        Ok(Some(Routed { stream, .. })) => Some(stream),
        Err(_) => own(),
    };
    process.iter().chain([&delivery.stream]).map(|stream| stream.as_str().to_owned()).collect()
}

/// Whether a command caused it that a process of this kind has sent.
pub(super) fn is_of_our_command<P: ProcessManager>(delivery: &Delivery) -> bool {
    delivery.bus_command.as_deref().and_then(own_command::<P>).is_some()
}

/// The process and the step of a command that a process of this kind has sent.
fn own_command<P: ProcessManager>(id: &str) -> Option<(StreamName, &str)> {
    sender_of(id).filter(|(stream, _)| stream.category() == P::CATEGORY)
}

fn refusal(raw: RawEvent<'_>) -> Result<Refusal, HearError> {
    let read: Result<Refused, Unreadable> = document::read(raw.data);
    match read {
        Ok(Refused { code, message }) => Ok(Refusal { code, message }),
        Err(source) => {
            Err(HearError::Unreadable(DecodeError::Malformed { name: raw.name.to_owned(), schema: 1, source }))
        }
    }
}
