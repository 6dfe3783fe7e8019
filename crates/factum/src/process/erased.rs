//! A process manager whose type is forgotten: what loops need of it.

use super::{
    HearError, Hearer,
    firing::{Change, Firing},
    pending::Timer,
};
use crate::{
    model::{ProcessManager, Source},
    store::{BoxFuture, RecordedEvent},
};

/// What loops need of a process manager.
pub(crate) trait AnyProcess: Send + Sync {
    fn changes(&self, event: &RecordedEvent, source: Source) -> Result<Vec<Change>, HearError>;
    fn fire<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<Firing, HearError>>;
}

impl<P: ProcessManager> AnyProcess for Hearer<P> {
    fn changes(&self, event: &RecordedEvent, source: Source) -> Result<Vec<Change>, HearError> {
        Self::changes(event, source)
    }

    fn fire<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<Firing, HearError>> {
        Box::pin(Self::fire(self, timer))
    }
}
