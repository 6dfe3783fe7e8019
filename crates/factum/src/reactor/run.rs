//! The loop of a reactor to the events of its own store.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    DynReactor, PROGRESS_PREFIX, Reactor, ReactorEnd, Reacts,
    end::Trouble,
    erase,
    ledger::{Ledger, Opened, Orphaned, Saved, SavedParked, event_at},
    open::{Open, Planned, READ_EVENTS_MAX},
    worker::{Worked, Worker},
};
use crate::{
    model::EventId,
    quarantine::{EventShelf, Quarantine},
    read::Epoch,
    runtime::{Attempts, Backoff, LoopState, More, Runtime, Status, Stop, finished},
    store::{Batch, BoxFuture, EventStore, Position, RecordedEvent, Selection, StreamName, Subscription},
};

/// How many streams are worked on at the same time.
const STREAMS_AT_ONCE_MAX: usize = 64;
/// How many events that led to nothing may pass before progress is written down all the same.
const UNSAVED_EVENTS_MAX: u64 = 1_000;
/// What tells of the trouble of more streams than are told one by one.
const MORE: More = More { about: "other streams", text: "more stand still: see the log" };
/// What tells of effects whose events a restore took away.
const ALARM_OF_ORPHANS: &str = "restored";

/// Lets one [`Reactor`] react to the events of its own store.
///
/// Killing it anywhere, or running it twice, has each effect at least once, under the same id each time: progress is
/// written after the effects are done, fenced by its epoch. The future of [`ReactorRunner::run`] may be dropped at any
/// point.
pub struct ReactorRunner {
    reactor: DynReactor,
    store: Arc<dyn EventStore>,
    runtime: Runtime,
    status: Status,
    /// Where the store ended when the reactor was put to work, where that is known.
    now: Option<Position>,
    /// Where what fails for good is parked; none: its stream stands still.
    shelf: Option<Arc<EventShelf>>,
}

/// What one run of the loop works with.
struct Session {
    /// Not here while progress is being written down.
    ledger: Option<Ledger>,
    saving: Option<BoxFuture<'static, Result<Ledger, Trouble>>>,
    /// Something was done that is not written down.
    unsaved: bool,
    stored_read_to: u64,
    subscription: Subscription,
    /// The last position considered, and the event there.
    read_to: (Position, Option<EventId>),
    at_end: bool,
    open: Open,
    work: FuturesUnordered<BoxFuture<'static, Worked>>,
}

/// What happens next.
enum Next {
    Worked(Worked),
    Saved(Result<Ledger, Trouble>),
    Due,
    Read(Result<Batch, crate::store::StoreError>),
}

impl ReactorRunner {
    /// Puts a loop together; [`ReactorRunner::run`] is it. Of a reactor that hears topics,
    /// [`ServiceBuilder::reacts`](crate::service::ServiceBuilder::reacts) takes care.
    pub fn new(reactor: impl Reactor, store: Arc<dyn EventStore>, runtime: Runtime) -> Self {
        Self::of(erase(reactor), store, runtime)
    }

    pub(crate) fn of(reactor: DynReactor, store: Arc<dyn EventStore>, runtime: Runtime) -> Self {
        let status = Status::new(&format!("reactor {}", reactor.name()));
        Self { reactor, store, runtime, status, now: None, shelf: None }
    }

    /// The same; what fails for good is parked with what comes after it in its stream, shown and decided about here.
    /// Without, its stream stands still, and is tried again with long waits.
    #[must_use]
    pub fn quarantine(self, quarantine: &Quarantine) -> Self {
        let parks = Arc::new(Reacts { reactor: Arc::clone(&self.reactor), runtime: self.runtime.clone() });
        let handler = format!("{PROGRESS_PREFIX}{}", self.reactor.name());
        let shelf =
            EventShelf::new(&handler, parks, Arc::clone(&self.store), self.runtime.clone(), self.status.clone());
        quarantine.watch(&shelf);
        Self { shelf: Some(shelf), ..self }
    }

    /// The same; a reactor that was never started, and begins now, begins here.
    pub(crate) fn put_to_work_at(self, now: Option<Position>) -> Self {
        Self { now, ..self }
    }

    /// What the loop shows of itself. Its position is the one up to which every effect is done.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Reacts until told to stop; what is under way is finished first. What time can mend is tried again with growing
    /// waits.
    ///
    /// # Errors
    /// See [`ReactorEnd`].
    pub async fn run(&self, stop: Stop) -> Result<(), ReactorEnd> {
        let mut epoch = None;
        let mut attempts = Attempts::new(&self.status, &self.runtime, stop);
        while attempts.go_on() {
            let over = self.follow(&mut attempts.stop, &mut epoch, &mut attempts.backoff).await;
            attempts.over(over).await?;
        }
        self.status.update(|report| report.state = LoopState::Stopped);
        Ok(())
    }

    /// One run from the progress to the stop signal or the first trouble. What is under way then is dropped: it is done
    /// again, under the same ids.
    async fn follow(&self, stop: &mut Stop, epoch: &mut Option<Epoch>, backoff: &mut Backoff) -> Result<(), Trouble> {
        let mut session = self.take_over(epoch).await?;
        self.status.update(|report| report.last_error = None);
        self.show(&session);
        loop {
            while session.work.len() < STREAMS_AT_ONCE_MAX {
                let Some(planned) = session.open.begin() else { break };
                session.work.push(Box::pin(self.worker(stop).work(planned)));
            }
            session.begin_saving(self, UNSAVED_EVENTS_MAX);
            let Some(next) = stop.unless(session.next(&self.runtime)).await else { break };
            match next {
                Next::Worked(worked) => {
                    self.worked(worked, &mut session);
                    backoff.reset();
                }
                Next::Saved(ledger) => session.ledger = Some(ledger?),
                Next::Due => session.open.resume_due(self.runtime.now()),
                Next::Read(batch) => self.take(batch?, &mut session).await?,
            }
        }
        self.finish(session).await
    }

    /// What is being worked on is finished, and progress is written down.
    async fn finish(&self, mut session: Session) -> Result<(), Trouble> {
        while let Some(worked) = session.work.next().await {
            self.worked(worked, &mut session);
        }
        if let Some(saving) = session.saving.take() {
            session.ledger = Some(saving.await?);
        }
        session.begin_saving(self, 1);
        match session.saving.take() {
            Some(saving) => saving.await.map(drop),
            None => Ok(()),
        }
    }

    /// Claims the progress, once; later runs of the same loop keep their epoch, or two owners would take turns.
    async fn take_over(&self, epoch: &mut Option<Epoch>) -> Result<Session, Trouble> {
        let (reactor, store) = (self.reactor.as_ref(), Arc::clone(&self.store));
        let Opened { ledger, saved, orphaned } =
            Ledger::open(store, reactor.name(), (reactor.since(), self.now), epoch).await?;
        if let Some(shelf) = &self.shelf {
            shelf.catch_up().await?;
        }
        if let Some(orphaned) = orphaned {
            self.tell_orphaned(orphaned);
        }
        let read_to = Position::new(saved.read_to);
        let subscription = Subscription::new(Arc::clone(&self.store), Selection::everything(), read_to);
        let mut session = Session {
            stored_read_to: ledger.stored_read_to,
            ledger: Some(ledger),
            saving: None,
            // That it goes on in the present history is written down at once.
            unsaved: orphaned.is_some(),
            subscription,
            read_to: (read_to, saved.event_id),
            at_end: read_to >= self.store.heads().await?.synced,
            open: Open::default(),
            work: FuturesUnordered::new(),
        };
        for position in saved.open {
            let found = event_at(self.store.as_ref(), Position::new(position)).await?;
            let event = found.ok_or(ReactorEnd::Foreign { position: Position::new(position) })?;
            self.plan(&event, &mut session);
        }
        Ok(session)
    }

    /// Takes in what events lead to.
    async fn take(&self, batch: Batch, session: &mut Session) -> Result<(), Trouble> {
        for event in &batch.events {
            self.plan(event, session);
        }
        let last = batch.events.last().filter(|event| event.position == batch.read_to);
        session.read_to = (batch.read_to, last.map(|event| event.id));
        session.at_end = batch.end;
        let head = if batch.end { batch.read_to } else { self.store.heads().await?.synced };
        self.status.update(|report| report.target = report.target.max(head));
        self.show(session);
        Ok(())
    }

    fn plan(&self, event: &RecordedEvent, session: &mut Session) {
        let delivery = event.delivery(self.store.identity().source());
        let todo = self.reactor.plan(event.raw(), &delivery);
        if todo.as_ref().is_ok_and(Vec::is_empty) {
            return;
        }
        session.open.add(Planned { event: event.clone(), delivery, todo });
    }

    fn worker(&self, stop: &Stop) -> Worker {
        let (runtime, status, source) = (self.runtime.clone(), self.status.clone(), self.store.identity().source());
        Worker { runtime, status, stop: stop.clone(), shelf: self.shelf.clone(), source }
    }

    fn worked(&self, worked: Worked, session: &mut Session) {
        match worked {
            Worked::Done(planned) => {
                session.open.done(&planned);
                session.unsaved = true;
                self.status.update(|report| {
                    report.processed += 1;
                    report.last_error = None;
                });
                self.status.alarm_over(planned.delivery.stream.as_str(), &MORE);
                self.show(session);
            }
            Worked::Never(planned, reason) => {
                let (stream, position) = (&planned.delivery.stream, planned.delivery.position);
                self.alarm(stream, format!("stands still at event {position}: {reason}"));
                session.open.stand_still(stream, &self.runtime);
            }
            // Done after the next start.
            Worked::Interrupted => {}
        }
    }

    fn alarm(&self, stream: &StreamName, text: String) {
        self.status.update(|report| report.last_error = Some(format!("{stream} {text}")));
        self.status.alarm_of_many(stream.as_str(), text, &MORE);
    }

    /// Nobody but an operator can tell whether what was done must be undone.
    fn tell_orphaned(&self, Orphaned(fork, position): Orphaned) {
        let text = format!(
            "the store was restored to {fork}: what was done outside about events up to {position} of the history \
             that was left stays done, though those events are gone"
        );
        self.status.alarm(ALARM_OF_ORPHANS, text);
    }

    fn show(&self, session: &Session) {
        let read_to = session.read_to.0;
        let position = session.open.done_to(read_to);
        self.status.update(|report| {
            report.state = if session.at_end { LoopState::Live } else { LoopState::CatchingUp };
            report.position = position;
            report.target = report.target.max(read_to);
        });
    }
}

impl Session {
    async fn next(&mut self, runtime: &Runtime) -> Next {
        let Self { work, saving, open, subscription, .. } = self;
        let full = open.is_full();
        tokio::select! {
            biased;
            Some(worked) = work.next() => Next::Worked(worked),
            ledger = finished(saving) => Next::Saved(ledger),
            () = open.due(runtime) => Next::Due,
            batch = subscription.next(READ_EVENTS_MAX), if !full => Next::Read(batch),
        }
    }

    /// Writes down what was done, after it was done; or that enough events led to nothing.
    fn begin_saving(&mut self, runner: &ReactorRunner, events: u64) {
        let (read_to, event_id) = self.read_to;
        if !self.unsaved && read_to.get().abs_diff(self.stored_read_to) < events {
            return;
        }
        let Some(ledger) = self.ledger.take() else { return };
        let incarnation = runner.store.identity().incarnation;
        let parked = runner.shelf.as_ref().filter(|shelf| !shelf.is_empty()).and_then(|shelf| {
            let (oldest, recorded_to) = shelf.outstanding();
            Some(SavedParked { oldest: oldest.values().min()?.get(), recorded_to: recorded_to.get() })
        });
        let next = Saved { incarnation, read_to: read_to.get(), event_id, open: self.open.positions(), parked };
        self.unsaved = false;
        self.stored_read_to = read_to.get();
        self.saving = Some(Box::pin(ledger.save(next)));
    }
}
