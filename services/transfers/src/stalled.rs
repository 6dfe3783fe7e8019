//! The alarm of transfers that have stalled: their last step is late, or was refused. Shown by `/readyz` and `/metrics`,
//! and logged, until the transfer has ended after all. It changes nothing: the process waits on.

use std::{sync::Arc, time::Duration};

use factum::{
    Clause, EventStore, Position, Selection, Service,
    dispatch::{At, load},
    runtime::{LoopState, Runtime, Status, Stop},
    service::{LoopEnd, Stage, StartLoop},
    store::{Direction, RecordedEvent, StoreError, Subscription},
};

use crate::domain::{Transfer, TransferId};

/// What tells of an alarm.
const STALLED: &str = "transfer.stalled";
/// What takes it back.
const ENDED: [&str; 2] = ["transfer.completed", "transfer.rejected"];
/// The most alarms that are shown at once; the rest are logged.
const ALARMS_MAX: usize = 100;
/// How many events are read at once.
const PAGE_EVENTS: usize = 256;
/// The pause after the store has failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Starts to watch the service's own events.
///
/// # Panics
/// The service has no event store.
pub(crate) fn watch(service: &mut Service) {
    let store = Arc::clone(service.store().expect("transfers have an event store"));
    let (runtime, status) = (service.runtime().clone(), Status::new("stalled transfers"));
    let shown = status.clone();
    let start: StartLoop = Arc::new(move |mut stop| {
        let watch = Watch { store: Arc::clone(&store), runtime: runtime.clone(), status: shown.clone() };
        Box::pin(async move {
            watch.run(&mut stop).await;
            LoopEnd::Stopped
        })
    });
    service.own(Stage::Projections, status, start);
}

struct Watch {
    store: Arc<dyn EventStore>,
    runtime: Runtime,
    status: Status,
}

impl Watch {
    /// Until it is told to stop; a store that fails is asked again.
    async fn run(&self, stop: &mut Stop) {
        while let Some(Err(error)) = stop.unless(self.watch()).await {
            self.status.update(|report| {
                report.state = LoopState::BackingOff;
                report.last_error = Some(error.to_string());
            });
            stop.unless(self.runtime.sleep(RETRY_PAUSE)).await;
        }
    }

    async fn watch(&self) -> Result<(), StoreError> {
        self.status.update(|report| report.alarms.clear());
        let after = self.catch_up().await?;
        self.status.update(|report| (report.state, report.last_error) = (LoopState::Live, None));
        let names = Selection::of(Clause::names([STALLED, ENDED[0], ENDED[1]]));
        let mut subscription = Subscription::new(Arc::clone(&self.store), names, after);
        loop {
            let batch = subscription.next(PAGE_EVENTS).await?;
            for event in &batch.events {
                if &*event.name == STALLED { self.raise(event) } else { self.lower(event) }
            }
            self.reached(batch.read_to);
        }
    }

    /// Alarms that are there from before; answers up to where.
    async fn catch_up(&self) -> Result<Position, StoreError> {
        let (stalled, mut after) = (Selection::of(Clause::names([STALLED])), Position::ZERO);
        loop {
            let batch = self.store.read(&stalled, after, Direction::Forward, PAGE_EVENTS).await?;
            for event in &batch.events {
                // One whose state cannot be told needs somebody to look, too.
                let id = event.stream.id().parse::<TransferId>();
                let ended = match id {
                    Ok(id) => {
                        load::<Transfer>(&*self.store, &id, At::Latest).await.is_ok_and(|it| it.state.has_ended())
                    }
                    Err(_) => false,
                };
                if !ended {
                    self.raise(event);
                }
            }
            after = batch.read_to;
            self.reached(after);
            if batch.end {
                return Ok(after);
            }
        }
    }

    fn raise(&self, event: &RecordedEvent) {
        let (about, text) = (event.stream.to_string(), String::from_utf8_lossy(&event.data).into_owned());
        tracing::error!(about, text, "a transfer has stalled");
        self.status.update(|report| {
            if report.alarms.len() < ALARMS_MAX || report.alarms.contains_key(&about) {
                report.alarms.insert(about, text);
            }
        });
    }

    fn lower(&self, event: &RecordedEvent) {
        let about = event.stream.as_str();
        self.status.update(|report| {
            if report.alarms.remove(about).is_some() {
                tracing::info!(about, "a transfer that had stalled has ended");
            }
        });
    }

    fn reached(&self, position: Position) {
        self.status.update(|report| (report.position, report.target) = (position, position));
    }
}

#[cfg(test)]
#[path = "stalled_tests.rs"]
mod tests;
