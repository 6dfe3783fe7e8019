//! The loop that lets timers fire.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::watch;

use super::{
    HearError,
    erased::AnyProcess,
    pending::{Pending, Timer},
    saved::Ledger,
    turn::{Attempt, attempt},
};
use crate::{
    consumer::Seen,
    model::{EventId, Timestamp},
    quarantine::EventShelf,
    read::Epoch,
    runtime::{Attempts, Backoff, Ending, LoopState, More, Runtime, Status, Stop},
    store::{Batch, EventStore, Position, ProgressError, Selection, StoreError, StreamName, Subscription},
};

/// How many timers fire at once.
const FIRING_MAX: usize = 64;
/// How many events are read at once.
const READ_EVENTS_MAX: usize = 500;
/// From how many events on what is pending is saved.
const UNSAVED_EVENTS_MIN: u64 = 1_000;
/// How long lies between two savings at least: each is a sync, and all it spares is reading.
const SAVING_WAIT: Duration = Duration::from_secs(1);
/// The longest wait before the clock is looked at again: it may have been set.
const CLOCK_LOOK_MAX: Duration = Duration::from_secs(60);
/// The first wait of a timer that could not fire.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(10);
/// The longest wait of a timer that could not fire.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);
/// What tells of the trouble of more timers than are told one by one.
const MORE: More = More { about: "other timers", text: "more cannot fire: see the log" };
/// What tells that timers wait for a partition that stands still.
const ALARM_OF_START: &str = "start";

/// Why a keeper ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum KeeperEnd {
    /// Another keeper took over: starting this one again takes it back.
    #[error("another keeper took over")]
    StoodDown,
    /// What an event means for timers cannot be told: going on would lose timers.
    #[error("event {position}: {source}")]
    Halted {
        /// The event.
        position: Position,
        /// Why.
        source: HearError,
    },
    /// The event store is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event store refuses what is to be saved.
    #[error(transparent)]
    Progress(#[from] ProgressError),
}

/// Keeps the timers of the processes of one kind: follows what their events set and clear, and lets those fire whose
/// time has come.
///
/// Timers are derived from events, so they survive whatever events survive. One fires once: that it has fired is
/// recorded together with what the process decided. After a start none fires before the processes have heard what was
/// there to be heard: a deadline that passed while nothing ran is not news.
pub(crate) struct TimerKeeper {
    process: Arc<dyn AnyProcess>,
    category: &'static str,
    store: Arc<dyn EventStore>,
    runtime: Runtime,
    /// What the processes have heard; `None` when they hear nothing.
    hearing: Option<watch::Receiver<Seen>>,
    status: Status,
    deadlines: Deadlines,
    /// What of the processes is parked: a timer does not overtake it.
    shelf: Arc<EventShelf>,
}

/// When the next timer of a keeper is due, for whoever waits until nothing is under way.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines {
    next: Arc<watch::Sender<Option<Timestamp>>>,
}

impl Deadlines {
    /// Waits until none is due any more that is due at a moment. One that could not fire and is tried again later is not
    /// waited for.
    pub(crate) async fn none_due(&self, now: Timestamp) {
        // The sender lives in `self`: the wait cannot fail.
        let _ = self.next.subscribe().wait_for(|next| next.is_none_or(|next| next > now)).await;
    }
}

/// What one run of the loop works with.
struct Session {
    ledger: Ledger,
    pending: Pending,
    subscription: Subscription,
    /// The last position ever considered, and the event there.
    as_of: (Position, Option<EventId>),
    /// Everything that was there is read.
    at_end: bool,
    last_look: Timestamp,
    /// When what is pending was saved, or this run began.
    saved_at: Timestamp,
    /// A timer could not fire.
    any_failed: bool,
}

type Trouble = crate::runtime::Trouble<KeeperEnd>;

impl Ending for KeeperEnd {
    const STOOD_DOWN: Self = Self::StoodDown;
}

impl TimerKeeper {
    /// Puts a loop together; [`TimerKeeper::run`] is it.
    pub(crate) fn new(
        process: Arc<dyn AnyProcess>,
        category: &'static str,
        store: Arc<dyn EventStore>,
        (runtime, status): (Runtime, Status),
        hearing: Option<watch::Receiver<Seen>>,
        shelf: Arc<EventShelf>,
    ) -> Self {
        // Nothing is known yet: it may be that one is due.
        let deadlines = Deadlines { next: Arc::new(watch::Sender::new(Some(Timestamp::default()))) };
        Self { process, category, store, runtime, hearing, status, deadlines, shelf }
    }

    /// What the loop shows of itself.
    pub(crate) const fn status(&self) -> &Status {
        &self.status
    }

    /// When the next timer is due.
    pub(crate) const fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Keeps time until told to stop. What time can mend is tried again with growing waits. The future may be dropped
    /// at any point.
    ///
    /// # Errors
    /// See [`KeeperEnd`].
    pub(crate) async fn run(&self, stop: Stop) -> Result<(), KeeperEnd> {
        let mut epoch = None;
        let mut attempts = Attempts::new(&self.status, &self.runtime, stop);
        while attempts.go_on() {
            let over = attempts.stop.unless(self.keep(&mut epoch, &mut attempts.backoff)).await.unwrap_or(Ok(()));
            attempts.over(over).await?;
        }
        self.status.update(|report| report.state = LoopState::Stopped);
        Ok(())
    }

    /// One run from what is saved to the first trouble.
    async fn keep(&self, epoch: &mut Option<Epoch>, backoff: &mut Backoff) -> Result<(), Trouble> {
        let (ledger, pending, as_of) = Ledger::open(Arc::clone(&self.store), self.category, *epoch).await?;
        *epoch = Some(ledger.epoch);
        self.shelf.catch_up().await?;
        let from = pending.complete_to();
        let subscription = Subscription::new(Arc::clone(&self.store), Selection::everything(), from);
        let at_end = from >= self.store.heads().await?.synced;
        let now = self.runtime.now();
        let mut session = Session {
            ledger,
            pending,
            subscription,
            as_of: (as_of, None),
            at_end,
            last_look: now,
            saved_at: now,
            any_failed: false,
        };
        self.show(&session);
        let mut freed = self.shelf.freed();
        loop {
            if session.at_end && self.has_caught_up() && self.fire_due(&mut session).await? {
                continue;
            }
            self.show(&session);
            let next = session.pending.next();
            tokio::select! {
                biased;
                batch = session.subscription.next(READ_EVENTS_MAX) => {
                    self.take(batch?, &mut session).await?;
                    backoff.reset();
                }
                Ok(()) = freed.changed() => session.pending.try_again_now(),
                // While there is more to be read, nothing fires, and no timer that is due may cut off what is being read.
                () = self.next_due(next), if session.at_end => {}
            }
        }
    }

    /// Whether the processes have heard what was there to be heard when they started; once so, always so.
    fn has_caught_up(&self) -> bool {
        self.hearing.as_ref().is_none_or(|hearing| hearing.borrow().start)
    }

    /// Waits until there may be a timer to fire.
    async fn next_due(&self, next: Option<Timestamp>) {
        if let Some(hearing) = self.hearing.as_ref().filter(|hearing| !hearing.borrow().start) {
            let still = hearing.borrow().still.clone();
            // Without a loop that hears, nothing is ever heard.
            if hearing.clone().wait_for(|seen| seen.start || seen.still != still).await.is_err() {
                std::future::pending::<()>().await;
            }
            return;
        }
        match next {
            Some(due) => {
                let wait = due.since(self.runtime.now()).min(CLOCK_LOOK_MAX);
                self.runtime.sleep(wait).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Takes in what events mean for timers.
    async fn take(&self, batch: Batch, session: &mut Session) -> Result<(), Trouble> {
        let source = self.store.identity().source();
        for event in &batch.events {
            let position = event.position;
            let changes = self.process.changes(event, source);
            let changes = changes.map_err(|source| KeeperEnd::Halted { position, source })?;
            for change in changes {
                if session.any_failed {
                    let (stream, name) = change.timer();
                    self.over(stream, name);
                }
                session.pending.change(change);
            }
        }
        session.pending.read_to(batch.read_to);
        session.at_end = batch.end;
        if batch.read_to > session.as_of.0 {
            let last = batch.events.last().filter(|event| event.position == batch.read_to);
            session.as_of = (batch.read_to, last.map(|event| event.id));
        }
        self.status.update(|report| report.processed += batch.events.len() as u64);
        self.save(session).await
    }

    /// Saves what is pending when what is saved is far behind.
    async fn save(&self, session: &mut Session) -> Result<(), Trouble> {
        let ((as_of, event_id), now) = (session.as_of, self.runtime.now());
        // A clock that went back holds nothing up.
        let waits = now >= session.saved_at && now.since(session.saved_at) < SAVING_WAIT;
        if session.ledger.unsaved(as_of) >= UNSAVED_EVENTS_MIN && !waits {
            session.ledger.save(&session.pending, as_of, event_id).await?;
            session.saved_at = now;
        }
        Ok(())
    }

    /// Lets timers fire whose time has come; false when there is none.
    async fn fire_due(&self, session: &mut Session) -> Result<bool, Trouble> {
        let now = self.runtime.now();
        if now < session.last_look {
            session.pending.try_again_now();
        }
        session.last_look = now;
        if let Some(from) = session.pending.missing(now) {
            session.pending.reread(now);
            session.subscription = Subscription::new(Arc::clone(&self.store), Selection::everything(), from);
            session.at_end = false;
            return Ok(false);
        }
        let due = session.pending.due(now, FIRING_MAX);
        let source = self.store.identity().source();
        let attempts = due.iter().map(|timer| async move {
            let attempt = attempt(self.process.as_ref(), &self.shelf, timer, source).await;
            (timer, attempt)
        });
        let mut attempts: FuturesUnordered<_> = attempts.collect();
        while let Some((timer, attempt)) = attempts.next().await {
            let wait = |failures| Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX).after(failures).next(&self.runtime);
            match attempt {
                Attempt::Over => {
                    session.pending.fired(&timer.stream, &timer.name, timer.set_by);
                    self.over(&timer.stream, &timer.name);
                }
                Attempt::Waits => {
                    session.pending.failed(timer, self.runtime.now(), wait);
                    // Told with what it waits for.
                    self.over(&timer.stream, &timer.name);
                }
                Attempt::Failed(reason) => {
                    session.pending.failed(timer, self.runtime.now(), wait);
                    session.any_failed = true;
                    self.alarm(timer, &reason);
                }
            }
        }
        Ok(!due.is_empty())
    }

    /// Whatever was wrong with a timer is over: it has fired, or what set it does not hold any more.
    fn over(&self, stream: &StreamName, name: &str) {
        self.status.alarm_over(&about(stream, name), &MORE);
    }

    fn alarm(&self, timer: &Timer, error: &str) {
        let text = format!("it was due at {} and cannot fire: {error}", timer.due);
        self.status.alarm_of_many(&about(&timer.stream, &timer.name), text, &MORE);
    }

    /// Shows what keeps every timer from firing after a start.
    fn show_standstill(&self) {
        let waits = self.hearing.as_ref().and_then(|hearing| {
            let seen = hearing.borrow();
            let why = seen.still.values().next().filter(|_| !seen.start)?;
            Some(format!("no timer fires before what was there at the start is heard, and {why}"))
        });
        match waits {
            Some(text) => self.status.alarm(ALARM_OF_START, text),
            None => self.status.alarm_over(ALARM_OF_START, &MORE),
        }
    }

    fn show(&self, session: &Session) {
        self.show_standstill();
        // Who waits for a position looks at the deadlines after it.
        self.deadlines.next.send_if_modified(|next| {
            let changed = *next != session.pending.next();
            *next = session.pending.next();
            changed
        });
        self.status.update(|report| {
            let waits = !session.at_end || !self.has_caught_up();
            report.state = if waits { LoopState::CatchingUp } else { LoopState::Live };
            report.position = session.subscription.position();
            report.target = report.target.max(report.position);
            report.last_error = None;
        });
    }
}

/// What an alarm of a timer is about.
fn about(stream: &StreamName, name: &str) -> String {
    format!("{stream} {name}")
}
