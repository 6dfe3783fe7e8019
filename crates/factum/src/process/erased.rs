//! A process manager whose type is forgotten: what loops need of it.

use std::sync::Arc;

use super::{
    HearError, Heard, Hearer,
    firing::{Change, Firing},
    parked,
    pending::Timer,
    route,
};
use crate::{
    bus::{Envelope, Record, TopicPartition},
    consumer::{Effect, EffectError},
    model::{Delivery, ProcessManager, RawEvent, Source},
    quarantine::{ParkedMessage, Parks},
    runtime::{ALARMS_MAX, Status},
    store::{BoxFuture, RecordedEvent},
};

/// What loops need of a process manager.
pub(crate) trait AnyProcess: Send + Sync + 'static {
    fn hear<'a>(&'a self, raw: RawEvent<'a>, delivery: &'a Delivery) -> BoxFuture<'a, Result<Heard, HearError>>;
    fn keys(&self, raw: RawEvent<'_>, delivery: &Delivery) -> Vec<String>;
    fn changes(&self, event: &RecordedEvent, source: Source) -> Result<Vec<Change>, HearError>;
    fn fire<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<Firing, HearError>>;
    /// Lets a timer that an operator discarded fire without anything being decided.
    fn pass_over<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<(), HearError>>;
}

impl<P: ProcessManager> AnyProcess for Hearer<P> {
    fn hear<'a>(&'a self, raw: RawEvent<'a>, delivery: &'a Delivery) -> BoxFuture<'a, Result<Heard, HearError>> {
        Box::pin(self.hear_told(raw, delivery))
    }

    fn keys(&self, raw: RawEvent<'_>, delivery: &Delivery) -> Vec<String> {
        route::keys::<P>(raw, delivery)
    }

    fn changes(&self, event: &RecordedEvent, source: Source) -> Result<Vec<Change>, HearError> {
        Self::changes(event, source)
    }

    fn fire<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<Firing, HearError>> {
        Box::pin(Self::fire(self, timer))
    }

    fn pass_over<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<(), HearError>> {
        Box::pin(Self::pass_over(self, timer))
    }
}

/// That processes hear, as the effect of messages.
#[derive(Clone)]
pub(crate) struct Hears {
    pub(crate) process: Arc<dyn AnyProcess>,
    /// Of the loop that hears.
    pub(crate) status: Status,
}

impl Effect for Hears {
    fn take<'a>(
        &'a self,
        _: &'a TopicPartition,
        _: &'a Record,
        message: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move { self.hear(message.raw(), &message.delivery()).await })
    }
}

impl Hears {
    async fn hear(&self, raw: RawEvent<'_>, delivery: &Delivery) -> Result<(), EffectError> {
        match self.process.hear(raw, delivery).await {
            Ok(Heard::Recorded | Heard::Repeated | Heard::Nothing | Heard::NotForUs) => Ok(()),
            Ok(Heard::Unheard) => {
                self.tell_unheard(raw.name, delivery.bus_command.as_deref().unwrap_or_default());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A step that waits for this message never ends, and nothing else would say so.
    fn tell_unheard(&self, name: &str, command: &str) {
        let alarms = self.status.report().alarms;
        if alarms.contains_key(name) || alarms.len() >= ALARMS_MAX {
            return;
        }
        let text = format!("{command} led to `{name}`, which is not among the messages it hears: list it there");
        self.status.alarm(name, text);
    }
}

impl Parks for Hears {
    fn keys(&self, raw: RawEvent<'_>, delivery: &Delivery) -> Vec<String> {
        match parked::is_timer(raw.name) {
            true => vec![delivery.stream.as_str().to_owned()],
            false => self.process.keys(raw, delivery),
        }
    }

    fn take_again<'a>(&'a self, message: &'a ParkedMessage) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move {
            let damaged = |error: crate::read::ReadError| EffectError::Never(error.to_string());
            if parked::is_timer(&message.name) {
                let timer = parked::timer(message).map_err(damaged)?;
                return self.process.fire(&timer).await.map(drop).map_err(Into::into);
            }
            let (delivery, data) = (message.delivery().map_err(damaged)?, message.document().map_err(damaged)?);
            self.hear(message.raw(&data), &delivery).await
        })
    }
}

impl From<HearError> for EffectError {
    fn from(error: HearError) -> Self {
        if error.is_transient() { Self::Later(error.to_string()) } else { Self::Never(error.to_string()) }
    }
}
