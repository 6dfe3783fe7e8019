//! Feeds a projection from the service's own event store.

use std::{ops::Range, sync::Arc};

use factum_engine::{Direction, Position};

use super::{
    DynProjection, Feed, Leash, Phase, Watermarks, Work,
    ahead::ReadAhead,
    end::{ProjectionEnd, Trouble},
    pace::{BatchPace, Turn},
};
use crate::{
    model::ProjectionKey,
    quarantine::{Desk, Fold, FoldError, Incoming, Parking, Parts, Quarantine, Request},
    read::{Checkpoint, CheckpointMove, Epoch, Lane, ReadError, ReadStore},
    runtime::{Attempts, Backoff, LoopState, Runtime, Status, Stop},
    store::{Batch, EventStore, Fork, RecordedEvent, Selection, StoreError, Subscription},
};

/// How many events one transaction takes at most. A refill writes the same pages again and again: the more of its
/// events share a transaction, the fewer times. The events of a store are of all its streams in turn, so that it takes
/// more of them than of a partition.
const BATCH_EVENTS_MAX: usize = 64_000;

/// Feeds one projection from the service's own event store: in order, each batch's effects and checkpoint in one
/// transaction. Transient errors are retried with growing waits; an event that fails for good parks its stream, and the
/// others flow on. Where there is no room to park it, the projection stands still right before it, visibly, and tries
/// again with growing waits. Nothing is skipped.
pub struct ProjectionRunner {
    key: ProjectionKey,
    store: Arc<dyn EventStore>,
    read_store: Arc<dyn ReadStore>,
    watermarks: Arc<Watermarks>,
    projection: Arc<DynProjection>,
    runtime: Runtime,
    status: Status,
    leash: Option<Leash>,
    desk: Desk,
}

/// What one run of the loop works with.
struct Session {
    epoch: Epoch,
    at: Option<Checkpoint>,
    /// The read models are whole from this position on.
    whole_from: Position,
    /// That position is not in the read store yet.
    whole_from_is_new: bool,
    events: ReadAhead,
    pace: BatchPace,
    parking: Parking,
}

/// What happens next.
enum Next {
    Asked(Request),
    Batch(Result<Batch, StoreError>),
}

/// The first event of a batch that cannot be applied; nothing was written.
struct Refused {
    index: usize,
    source: FoldError,
}

/// Some events of a batch, and how far it is read once they are written.
struct Stretch {
    events: Range<usize>,
    read_to: Position,
    head: Position,
    /// Why the first of them is to be parked.
    failed: Option<String>,
}

impl ProjectionRunner {
    /// Puts a loop together; [`ProjectionRunner::run`] is it. Until that has looked at the checkpoint, the projection
    /// counts as being refilled.
    pub fn new(
        projection: DynProjection,
        store: Arc<dyn EventStore>,
        read_store: Arc<dyn ReadStore>,
        watermarks: Arc<Watermarks>,
        runtime: Runtime,
    ) -> Self {
        let key = projection.key();
        watermarks.track(key, Feed::OwnStore, Vec::new());
        watermarks.set_phase(key, Phase::Refilling { done: 0, total: 0 });
        Self::of(Arc::new(projection), store, read_store, watermarks, runtime)
    }

    /// The same without a word to the watermarks before it has looked at the checkpoint.
    pub(crate) fn of(
        projection: Arc<DynProjection>,
        store: Arc<dyn EventStore>,
        read_store: Arc<dyn ReadStore>,
        watermarks: Arc<Watermarks>,
        runtime: Runtime,
    ) -> Self {
        let key = projection.key();
        let status = Status::new(&format!("projection {key}"));
        let (leash, desk) = (None, Desk::alone(key));
        Self { key, store, read_store, watermarks, projection, runtime, status, leash, desk }
    }

    /// Shows what it does here.
    pub(crate) fn showing(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// Gets no farther than this.
    pub(crate) fn behind(self, leash: Option<Leash>) -> Self {
        Self { leash, ..self }
    }

    /// Lets operators decide about what it parks.
    #[must_use]
    pub fn quarantine(self, quarantine: &Arc<Quarantine>) -> Self {
        let desk = quarantine.open(self.key, self.status.name(), Arc::clone(&self.read_store));
        Self { desk, ..self }
    }

    /// What the loop shows of itself.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Runs until told to stop. The batch at hand is finished first.
    ///
    /// # Errors
    /// See [`ProjectionEnd`].
    pub async fn run(&self, stop: Stop) -> Result<(), ProjectionEnd> {
        self.feed(stop).await?;
        self.status.update(|report| report.state = LoopState::Stopped);
        Ok(())
    }

    /// As [`ProjectionRunner::run`], for whoever goes on by another loop: it does not show that it has stopped.
    pub(crate) async fn feed(&self, stop: Stop) -> Result<(), ProjectionEnd> {
        let mut epoch = None;
        let mut attempts = Attempts::new(&self.status, &self.runtime, stop);
        while attempts.go_on() {
            let over = self.follow(&mut attempts.stop, &mut epoch, &mut attempts.backoff).await;
            attempts.over(over).await?;
        }
        Ok(())
    }

    /// From the checkpoint to the stop signal or the first trouble.
    async fn follow(&self, stop: &mut Stop, epoch: &mut Option<Epoch>, backoff: &mut Backoff) -> Result<(), Trouble> {
        let mut session = self.take_over(epoch).await?;
        let mut rest = None;
        loop {
            let (limit, at) = (session.pace.limit(), session.position());
            let waiting = stop.unless(async {
                tokio::select! {
                    biased;
                    request = self.desk.request() => Next::Asked(request),
                    batch = self.next(&mut session.events, &mut rest, limit, at) => Next::Batch(batch),
                }
            });
            match waiting.await {
                None => return Ok(()),
                Some(Next::Asked(request)) => {
                    let epoch = session.epoch;
                    session.parking.carry_out::<Trouble>(request, &self.parts(), epoch).await?;
                }
                Some(Next::Batch(batch)) => {
                    let Some(turn) = stop.unless(self.turn(session.position() >= session.whole_from)).await else {
                        return Ok(());
                    };
                    let (before, from) = (self.runtime.now(), session.position());
                    self.apply(&mut session, batch?).await?;
                    backoff.reset();
                    if let Some(leash) = &self.leash {
                        let (took, at) = (self.runtime.now().since(before), session.position());
                        let (done, left) = (at.get() - from.get(), session.whole_from.get().saturating_sub(at.get()));
                        let work = Work { took, done, left };
                        session.pace.works(leash.pause(work, &self.watermarks, &self.runtime, stop).await);
                    }
                    drop(turn);
                }
            }
        }
    }

    /// Waits until it may apply what it has: on a leash, as long as it fills, for its turn.
    async fn turn(&self, filled: bool) -> Option<Turn> {
        match &self.leash {
            Some(leash) => leash.turn(!filled, &self.runtime).await,
            None => None,
        }
    }

    fn parts(&self) -> Parts<'_> {
        let Self { desk, projection, read_store, watermarks, runtime, status, .. } = self;
        Parts { desk, projection, read_store, watermarks, runtime, status }
    }

    /// The next events, as far as the leash lets it apply them; `rest` are those that it did not. Dropping the future
    /// loses nothing.
    async fn next(
        &self,
        events: &mut ReadAhead,
        rest: &mut Option<Batch>,
        limit: usize,
        at: Position,
    ) -> Result<Batch, StoreError> {
        if let Some(leash) = &self.leash {
            leash.beyond(at).await;
        }
        let mut batch = match rest.take() {
            Some(batch) => batch,
            None => events.next(limit).await?,
        };
        let end = self.leash.as_ref().map(Leash::position);
        let Some(end) = end.filter(|end| *end < batch.read_to) else { return Ok(batch) };
        let beyond = batch.events.split_off(batch.events.partition_point(|event| event.position <= end));
        *rest = Some(Batch { events: beyond, read_to: batch.read_to, end: batch.end });
        Ok(Batch { events: batch.events, read_to: end, end: false })
    }

    /// Claims the projection, once: a loop that claimed it again after an error would take it back from a new owner.
    /// Checks that the checkpoint belongs to this store.
    async fn take_over(&self, claimed: &mut Option<Epoch>) -> Result<Session, Trouble> {
        let (key, read_store, known) = (self.key, Arc::clone(&self.read_store), *claimed);
        let look = move || {
            let epoch = match known {
                // Nothing to write, but it tells a displaced owner that it is one.
                Some(epoch) => read_store.write(key, epoch, &[], &mut |_| Ok(())).map(|()| epoch)?,
                None => read_store.claim(key)?,
            };
            Ok::<_, ReadError>((epoch, read_store.checkpoints(key)?))
        };
        let (epoch, checkpoints) = self.runtime.blocking(look).await??;
        *claimed = Some(epoch);
        let parking = Parking::take_over::<Trouble>(&self.parts(), epoch).await?;
        let on = |lane: Lane| checkpoints.iter().find(|(known, _)| *known == lane).map(|(_, checkpoint)| *checkpoint);
        let (at, whole_from) = (on(Lane::own_store()), on(Lane::whole_from()));
        let head = self.store.heads().await?.synced;
        if let Some(at) = at {
            self.check(at, head).await?;
        }
        let after = at.map_or(Position::ZERO, |checkpoint| checkpoint.position);
        let subscription = Subscription::new(Arc::clone(&self.store), Selection::everything(), after);
        let session = Session {
            epoch,
            at,
            // What was there when the filling began; less, if a restore has cut it off since.
            whole_from: whole_from.map_or(head, |checkpoint| checkpoint.position.min(head)),
            whole_from_is_new: whole_from.is_none(),
            events: ReadAhead::new(subscription),
            pace: match &self.leash {
                Some(leash) => BatchPace::polite(BATCH_EVENTS_MAX, leash.turns.pace()),
                None => BatchPace::new(BATCH_EVENTS_MAX),
            },
            parking,
        };
        self.watermarks.track(key, Feed::OwnStore, at.map(|at| (Lane::own_store(), at)).into_iter().collect());
        self.show_position(&session, 0, head);
        Ok(session)
    }

    /// A position means something only in its own history.
    async fn check(&self, at: Checkpoint, head: Position) -> Result<(), Trouble> {
        let identity = self.store.identity();
        let position = at.position;
        if at.incarnation != identity.incarnation {
            // Each restore since then has cut something off.
            match Fork::shared_up_to(&identity.forks, at.incarnation) {
                None => return Err(foreign("this read model was filled from another event store")),
                Some(fork) if fork < position => {
                    return Err(foreign(&format!("the store forked at {fork}, this read model is at {position}")));
                }
                Some(_) => {}
            }
        }
        if position > head {
            return Err(foreign(&format!("the store ends at {head}, this read model is at {position}")));
        }
        let Some(expected) = at.event_id else { return Ok(()) };
        let before = Position::new(position.get().saturating_sub(1));
        let batch = self.store.read(&Selection::everything(), before, Direction::Forward, 1).await?;
        match batch.events.first() {
            Some(event) if event.position == position && event.id == expected => Ok(()),
            _ => Err(foreign(&format!("event {position} is not the one this read model was filled with"))),
        }
    }

    /// Applies a batch; an event of it that cannot be applied is parked.
    async fn apply(&self, session: &mut Session, batch: Batch) -> Result<(), Trouble> {
        let Batch { events, read_to, end } = batch;
        let events: Arc<[RecordedEvent]> = events.into();
        let head = if end { read_to } else { self.store.heads().await?.synced };
        let (mut start, mut failed) = (0, None);
        loop {
            let all = Stretch { events: start..events.len(), read_to, head, failed: failed.clone() };
            let Some(Refused { index, source }) = self.write(session, &events, all).await? else { return Ok(()) };
            if index > start {
                let read_to = events[index - 1].position;
                let before = Stretch { events: start..index, read_to, head, failed };
                if let Some(earlier) = self.write(session, &events, before).await? {
                    // It could be applied a moment ago: tried again later.
                    return Err(stuck(&events[earlier.index], &earlier.source));
                }
            }
            match source {
                FoldError::Failed(source) => failed = Some(source.to_string()),
                full => return Err(stuck(&events[index], &full)),
            }
            start = index;
        }
    }

    /// The effects of some events and the checkpoint, in one transaction.
    async fn write(
        &self,
        session: &mut Session,
        events: &Arc<[RecordedEvent]>,
        stretch: Stretch,
    ) -> Result<Option<Refused>, Trouble> {
        let Stretch { events: range, read_to, head, failed } = stretch;
        let identity = self.store.identity();
        let count = range.len();
        let last = events[range.clone()].last().filter(|event| event.position == read_to);
        let incarnation = identity.incarnation;
        let next = Checkpoint { position: read_to, incarnation, event_id: last.map(|event| event.id) };
        let mut moves = vec![CheckpointMove { lane: Lane::own_store(), previous: session.at, next }];
        if session.whole_from_is_new {
            let next = Checkpoint { position: session.whole_from, incarnation, event_id: None };
            moves.push(CheckpointMove { lane: Lane::whole_from(), previous: None, next });
        }
        let (epoch, source, events) = (session.epoch, identity.source(), Arc::clone(events));
        let (read_store, projection) = (Arc::clone(&self.read_store), Arc::clone(&self.projection));
        let held = self.desk.hold().await?;
        let (shelf, now) = (session.parking.take_shelf(), self.runtime.now());
        let work = move || {
            let fold = Fold { projection: &**projection, shelf: &shelf, discards: &held.discards, now };
            let incoming = events[range.clone()].iter().map(|event| Incoming::event(event, source));
            let written = fold.write((epoch, &moves), incoming, failed.as_deref(), read_store.as_ref());
            let written = written
                .map(|written| written.map_err(|(index, source)| Refused { index: range.start + index, source }));
            drop(held);
            (shelf, written)
        };
        let (limit, before) = (session.pace.limit(), self.runtime.now());
        let (shelf, written) = session.events.during(limit, self.runtime.blocking(work)).await?;
        session.pace.took(self.runtime.now().since(before));
        session.parking.shelf = shelf;
        let draft = match written? {
            Ok(draft) => draft,
            Err(refused) => return Ok(Some(refused)),
        };
        let changes = session.parking.shelf.committed(draft);
        session.parking.show(changes, &self.parts());
        (session.at, session.whole_from_is_new) = (Some(next), false);
        self.watermarks.moved(self.key, [(Lane::own_store(), next)]);
        self.show_position(session, count, head);
        Ok(None)
    }

    fn show_position(&self, session: &Session, processed: usize, head: Position) {
        let position = session.position();
        let phase = if position < session.whole_from {
            Phase::Refilling { done: position.get(), total: session.whole_from.get() }
        } else {
            Phase::Live
        };
        self.watermarks.set_phase(self.key, phase);
        self.status.update(|report| {
            report.position = position;
            report.target = head.max(position);
            report.processed += processed as u64;
            // An error is over when something was written since, or when there is nothing to write.
            if processed > 0 || position >= head || report.last_error.is_none() {
                report.state = if position < head { LoopState::CatchingUp } else { LoopState::Live };
                report.last_error = None;
            }
        });
    }
}

fn stuck(event: &RecordedEvent, why: &FoldError) -> Trouble {
    Trouble::Later(format!("event {} ({}) can be neither applied nor parked: {why}", event.position, event.name))
}

impl Session {
    fn position(&self) -> Position {
        self.at.map_or(Position::ZERO, |checkpoint| checkpoint.position)
    }
}

fn foreign(what: &str) -> Trouble {
    ProjectionEnd::Foreign(format!("{what}: delete the read database, it is restored from its sources")).into()
}
