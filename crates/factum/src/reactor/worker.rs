//! Works on one event: each effect again until it is done, or the event is parked.

use std::sync::Arc;

use super::open::Planned;
use crate::{
    consumer::EffectError,
    model::Source,
    quarantine::{EventShelf, Incoming, Met},
    runtime::{Backoff, Runtime, Status, Stop},
};

/// What working on an event needs.
pub(super) struct Worker {
    pub(super) runtime: Runtime,
    pub(super) status: Status,
    pub(super) stop: Stop,
    /// Where what fails for good is parked; none: its stream stands still.
    pub(super) shelf: Option<Arc<EventShelf>>,
    /// The own store.
    pub(super) source: Source,
}

/// How work on an event ended.
pub(super) enum Worked {
    /// Its effects are done, or it is parked.
    Done(Arc<Planned>),
    /// Neither is possible.
    Never(Arc<Planned>, String),
    /// Told to stop while something waited to be tried again.
    Interrupted,
}

/// Why something was not done.
enum Undone {
    Never(String),
    Interrupted,
}

impl Worker {
    pub(super) async fn work(mut self, planned: Arc<Planned>) -> Worked {
        match self.deal_with(&planned).await {
            Ok(()) => Worked::Done(planned),
            Err(Undone::Never(reason)) => Worked::Never(planned, reason),
            Err(Undone::Interrupted) => Worked::Interrupted,
        }
    }

    /// Has the effects of an event, unless it stands behind one that is parked; parks it when one fails for good.
    async fn deal_with(&mut self, planned: &Planned) -> Result<(), Undone> {
        let Some(shelf) = self.shelf.clone() else { return self.perform(planned).await };
        let incoming = Incoming::event(&planned.event, self.source);
        let met = self.until_done(|| shelf.meet(&incoming)).await?;
        if met == Met::DealtWith {
            return Ok(());
        }
        match self.perform(planned).await {
            Err(Undone::Never(reason)) => {
                let (stream, position) = (&planned.delivery.stream, planned.delivery.position);
                tracing::error!(reactor = self.status.name(), %stream, %position, reason, "an event is parked");
                // Where it cannot be, that is no more than one reason more to stand still.
                let parked = self.until_done(|| shelf.failed(&incoming, &reason)).await;
                parked.map_err(|undone| undone.because(&reason))
            }
            done => done,
        }
    }

    async fn perform(&mut self, planned: &Planned) -> Result<(), Undone> {
        let todo = planned.todo.as_ref().map_err(|error| Undone::Never(error.to_string()))?;
        let runtime = self.runtime.clone();
        for doing in todo {
            let done = self.until_done(|| doing.attempt(&planned.delivery, &runtime)).await;
            done.map_err(|undone| match undone {
                Undone::Never(reason) => Undone::Never(format!("effect {}: {reason}", doing.id)),
                Undone::Interrupted => Undone::Interrupted,
            })?;
        }
        Ok(())
    }

    /// The result of an attempt that is made again as long as time can mend it.
    async fn until_done<T, E: Into<EffectError>, F: Future<Output = Result<T, E>>>(
        &mut self,
        attempt: impl Fn() -> F,
    ) -> Result<T, Undone> {
        let mut backoff = Backoff::default();
        loop {
            let reason = match attempt().await.map_err(Into::into) {
                Ok(done) => return Ok(done),
                Err(EffectError::Never(reason)) => return Err(Undone::Never(reason)),
                Err(EffectError::Later(reason)) => reason,
            };
            tracing::warn!(reactor = self.status.name(), error = reason, "an effect is tried again later");
            self.status.update(|report| report.last_error = Some(reason));
            let wait = self.runtime.sleep(backoff.next(&self.runtime));
            if self.stop.unless(wait).await.is_none() {
                return Err(Undone::Interrupted);
            }
        }
    }
}

impl Undone {
    fn because(self, reason: &str) -> Self {
        match self {
            Self::Never(full) => Self::Never(format!("{reason}; it is not parked: {full}")),
            Self::Interrupted => Self::Interrupted,
        }
    }
}
