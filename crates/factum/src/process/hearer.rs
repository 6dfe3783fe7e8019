//! How a process hears a message.

use std::{marker::PhantomData, sync::Arc};

use super::{
    HearError,
    record::{Appended, Cause},
    route::{Routed, is_of_our_command, route},
};
use crate::{
    bus::Envelope,
    dispatch::Streams,
    model::{Delivery, Events, ProcessManager, RawEvent},
    runtime::Runtime,
    store::{EventStore, Metadata, Version},
};

/// Lets the processes of one kind hear messages.
///
/// What a message leads to is appended under a command id derived from the message: told again, it changes nothing. A
/// message that leads to nothing leaves no trace; told again later, it is decided on again.
pub struct Hearer<P> {
    pub(super) streams: Arc<Streams>,
    process: PhantomData<fn() -> P>,
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It led to events.
    Recorded,
    /// It led to events, when it was heard before.
    Repeated,
    /// The process it is for has nothing to do.
    Nothing,
    /// It is for none of these processes.
    NotForUs,
    /// A command of one of these processes caused it, and it is none of the messages they hear.
    Unheard,
}

impl<P: ProcessManager> Hearer<P> {
    /// A hearer for the processes in an event store.
    pub fn new(store: Arc<dyn EventStore>, runtime: Runtime) -> Self {
        Self::on(Arc::new(Streams::with_defaults(store, runtime)))
    }

    pub(crate) const fn on(streams: Arc<Streams>) -> Self {
        Self { streams, process: PhantomData }
    }

    /// Routes a message to a process, decides, and appends what follows; again on conflict.
    ///
    /// # Errors
    /// See [`HearError`].
    pub async fn hear(&self, message: &Envelope) -> Result<Heard, HearError> {
        self.hear_told(message.raw(), &message.delivery()).await
    }

    pub(super) async fn hear_told(&self, raw: RawEvent<'_>, delivery: &Delivery) -> Result<Heard, HearError> {
        let Some(Routed { stream, answers, what }) = route::<P>(raw, delivery)? else {
            return Ok(if is_of_our_command::<P>(delivery) { Heard::Unheard } else { Heard::NotForUs });
        };
        let streams = self.streams.as_ref();
        let metadata = Metadata {
            correlation_id: delivery.correlation_id,
            causation_id: Some(delivery.event_id.as_uuid()),
            actor: delivery.actor.clone(),
            bus_command: None,
        };
        let cause = Cause::new(streams, stream, ("message", &delivery.event_id.to_string()), metadata);
        let _turn = streams.turn(&cause.stream).await;
        for attempt in 1..=streams.attempts_max {
            let decide = |loaded: &_| {
                // What answers a command of a process that is not there is another's, or that of a history that was left.
                if answers && is_unborn(loaded) { Ok(Events::none()) } else { cause.decide::<P>(loaded, what.input()) }
            };
            let appends =
                |decided: &Result<Events<P::Event>, _>| matches!(decided, Ok(events) if !events.as_slice().is_empty());
            let (loaded, decided) = streams.decide::<P, _>(&cause.stream, decide, appends).await?;
            // After a panic the state is dropped, never used again.
            let events = match decided {
                Ok(events) => events,
                // What it led to when it was heard before stays.
                Err(_) if streams.store.command(cause.record.id).await?.is_some() => return Ok(Heard::Repeated),
                Err(panic) => return Err(HearError::Panicked(panic)),
            };
            if events.as_slice().is_empty() {
                let unborn = is_unborn(&loaded);
                streams.keep(&cause.stream, loaded);
                return Ok(if answers && unborn { Heard::NotForUs } else { Heard::Nothing });
            }
            match cause.append(streams, loaded, events.as_slice(), None).await? {
                Appended::Recorded { repeated: false } => return Ok(Heard::Recorded),
                Appended::Recorded { repeated: true } => return Ok(Heard::Repeated),
                Appended::Conflict if attempt < streams.attempts_max => streams.pause(attempt).await,
                Appended::Conflict => {}
            }
        }
        Err(HearError::Contended { attempts: streams.attempts_max })
    }
}

/// Nothing has happened to it.
fn is_unborn<P>(loaded: &crate::dispatch::Loaded<P>) -> bool {
    loaded.version == Version::ZERO
}
