//! A process manager whose type is forgotten: what loops need of it.

use std::sync::Arc;

use super::{
    HearError, Heard, Hearer,
    firing::{Change, Firing},
    pending::Timer,
};
use crate::{
    bus::{Envelope, Record, TopicPartition},
    consumer::{Effect, EffectError},
    model::{ProcessManager, Source},
    store::{BoxFuture, RecordedEvent},
};

/// What loops need of a process manager.
pub(crate) trait AnyProcess: Send + Sync + 'static {
    fn hear<'a>(&'a self, message: &'a Envelope) -> BoxFuture<'a, Result<Heard, HearError>>;
    fn changes(&self, event: &RecordedEvent, source: Source) -> Result<Vec<Change>, HearError>;
    fn fire<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<Firing, HearError>>;
}

impl<P: ProcessManager> AnyProcess for Hearer<P> {
    fn hear<'a>(&'a self, message: &'a Envelope) -> BoxFuture<'a, Result<Heard, HearError>> {
        Box::pin(Self::hear(self, message))
    }

    fn changes(&self, event: &RecordedEvent, source: Source) -> Result<Vec<Change>, HearError> {
        Self::changes(event, source)
    }

    fn fire<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<Firing, HearError>> {
        Box::pin(Self::fire(self, timer))
    }
}

/// That processes hear, as the effect of messages.
pub(crate) struct Hears(pub(crate) Arc<dyn AnyProcess>);

impl Effect for Hears {
    fn take<'a>(
        &'a self,
        _: &'a TopicPartition,
        _: &'a Record,
        message: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move {
            match self.0.hear(message).await {
                Ok(Heard::Recorded | Heard::Repeated | Heard::Nothing | Heard::NotForUs) => Ok(()),
                Err(error) if error.is_transient() => Err(EffectError::Later(error.to_string())),
                Err(error) => Err(EffectError::Never(error.to_string())),
            }
        })
    }
}
