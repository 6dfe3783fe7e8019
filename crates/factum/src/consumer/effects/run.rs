//! The loop of effects.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt;
use tokio::sync::watch;

use super::{
    Effect, Seen,
    batch::{Batch, Outcome},
    ledger::{Draft, Ledger},
    session::{Next, Session, UNSAVED_RECORDS_MAX},
    worker::{ChainEnd, Worker},
};
use crate::{
    bus::{Bus, BusError, BusEvent, ConsumerOptions, Offset, TopicPartition},
    consumer::{
        book::{Book, Gap},
        catch_up::CatchUp,
        end::{ConsumerEnd, PartitionStop, Trouble},
        plan::PlanEnd,
        show,
        start::{self, Beginning},
    },
    forks::{Desk, Forks, Standing},
    quarantine::EventShelf,
    reactor::Since,
    read::Epoch,
    runtime::{Attempts, Backoff, LoopState, Runtime, Status, Stop},
    store::EventStore,
};

/// What helps when a source has left the history whose messages led to what is recorded.
const LEFT_RECORDED: &str = "see what was heard beyond the fork (`/admin/forks`), and let it go on from there";
/// The same of what was done outside.
const LEFT_OUTSIDE: &str =
    "what was done outside stays done; see what it was about (`/admin/forks`), and let it go on from the fork";

/// Feeds one [`Effect`] from topics of the bus, with its progress in the event store.
///
/// Killing it anywhere, or running it twice, does each effect once, as far as the effect's ids go: progress is written
/// after the effects are durable, fenced by its epoch.
pub struct EffectConsumer {
    effect: Arc<dyn Effect>,
    /// What its progress is named with, before the topic.
    name: String,
    options: ConsumerOptions,
    bus: Arc<dyn Bus>,
    store: Arc<dyn EventStore>,
    runtime: Runtime,
    status: Status,
    seen: watch::Sender<Seen>,
    /// Its effects are outside, where nothing tells what was done.
    outside: Option<Since>,
    forks: Desk,
    /// Where what fails for good is parked; none: its partition stands still.
    shelf: Option<Arc<EventShelf>>,
}

impl EffectConsumer {
    /// Puts a loop together; [`EffectConsumer::run`] is it. `name` is what its progress and its status are named with:
    /// `commands`, `process/transfer`.
    pub fn new(
        name: &str,
        effect: Arc<dyn Effect>,
        options: ConsumerOptions,
        bus: Arc<dyn Bus>,
        store: Arc<dyn EventStore>,
        runtime: Runtime,
    ) -> Self {
        let status = Status::new(&name.replace('/', " "));
        let seen = watch::Sender::new(Seen::default());
        Self {
            effect,
            name: name.to_owned(),
            options,
            bus,
            store,
            runtime,
            status,
            seen,
            outside: None,
            shelf: None,
            forks: Desk::default(),
        }
    }

    /// The same for effects that are not recorded in the event store: what was dealt with stays dealt with after a
    /// restore of that store, and a loop that never ran begins where it is told to.
    #[must_use]
    pub(crate) fn outside(self, since: Since) -> Self {
        Self { outside: Some(since), ..self }
    }

    /// The same; what fails for good is parked, with what comes after it under its key.
    #[must_use]
    pub(crate) fn parking(self, shelf: &Arc<EventShelf>) -> Self {
        Self { shelf: Some(Arc::clone(shelf)), ..self }
    }

    /// Lets operators decide that it goes on from a fork.
    #[must_use]
    pub fn forks(self, forks: &Arc<Forks>) -> Self {
        Self { forks: Desk::open(forks, &self.name), ..self }
    }

    /// The same, showing itself in a status that others show something in as well.
    #[must_use]
    pub fn with_status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// What the loop shows of itself. Its position is the one last dealt with, of whichever source and partition, until
    /// nothing is known to be missing on any.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// What it has dealt with, as it goes on.
    pub fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Consumes until told to stop; what is under way is finished first. What time can mend is tried again, from the
    /// progress, with growing waits.
    ///
    /// # Errors
    /// See [`ConsumerEnd`].
    pub async fn run(&self, stop: Stop) -> Result<(), ConsumerEnd> {
        let ended = self.consume_all(stop).await;
        // Started again, it may find more than it has dealt with.
        self.seen.send_modify(|seen| {
            seen.start = false;
            seen.still.clear();
        });
        ended
    }

    async fn consume_all(&self, stop: Stop) -> Result<(), ConsumerEnd> {
        let mut epochs = HashMap::new();
        let mut attempts = Attempts::new(&self.status, &self.runtime, stop);
        while attempts.go_on() {
            let over = self.consume(&mut attempts.stop, &mut epochs, &mut attempts.backoff).await;
            attempts.over(over).await?;
        }
        self.status.update(|report| report.state = LoopState::Stopped);
        Ok(())
    }

    /// One run from the progress to the stop signal or the first trouble. What is under way then is dropped: it is done
    /// again, which changes nothing.
    async fn consume(
        &self,
        stop: &mut Stop,
        epochs: &mut HashMap<Arc<str>, Epoch>,
        backoff: &mut Backoff,
    ) -> Result<(), Trouble> {
        let (ledgers, book) = self.take_over(epochs).await?;
        self.effect.begin().await?;
        let Some(consumer) = stop.unless(self.bus.consumer(self.options.clone())).await else { return Ok(()) };
        let mut catch_up = CatchUp::new(false);
        if !start::any_topic(self.bus.as_ref(), &self.options.topics, &self.status).await? {
            catch_up.nothing_there();
        }
        let worker = Worker {
            effect: Arc::clone(&self.effect),
            shelf: self.shelf.clone(),
            runtime: self.runtime.clone(),
            status: self.status.clone(),
            stop: stop.clone(),
        };
        let mut session = Session::new(book, consumer?, catch_up, worker, ledgers);
        self.show_progress(&session);
        loop {
            let Some(next) = stop.unless(session.next(&self.runtime, &self.forks)).await else { break };
            match next {
                Next::Due => session.resume_due(&self.runtime),
                Next::Decided => {
                    session.book.accept(self.forks.accepted().await?);
                    session.resume_all();
                }
                Next::Saved(topic, ledger) => session.saved(topic, ledger?),
                Next::Rested => {}
                Next::Worked(end) => {
                    self.worked(end, &mut session).await?;
                    backoff.reset();
                }
                Next::Bus(event) => self.take(event, &mut session).await?,
            }
            session.begin_work();
            session.begin_saving(&self.store);
        }
        self.finish(session).await
    }

    /// What is being worked on is finished, and progress is written down.
    async fn finish(&self, mut session: Session) -> Result<(), Trouble> {
        while let Some(end) = session.work.next().await {
            self.worked(end, &mut session).await?;
        }
        loop {
            session.unsaved_records = UNSAVED_RECORDS_MAX;
            session.begin_saving(&self.store);
            let Some(saving) = session.saving.take() else { return Ok(()) };
            let (topic, saved) = saving.await;
            // What could not be written down is told again after the next start, which changes nothing.
            session.ledgers.insert(topic, saved?.0);
        }
    }

    /// Claims the progress on every topic, once; later runs of the same loop keep their epochs, or two owners would
    /// take turns.
    async fn take_over(
        &self,
        epochs: &mut HashMap<Arc<str>, Epoch>,
    ) -> Result<(HashMap<Arc<str>, Ledger>, Book), Trouble> {
        let (mut ledgers, mut checkpoints) = (HashMap::new(), Vec::new());
        for topic in &self.options.topics {
            let claimed = epochs.get(topic).copied();
            let (store, recorded) = (self.store.as_ref(), self.outside.is_none());
            let mut ledger = Ledger::open(store, (&self.name, topic), recorded, claimed, &mut checkpoints).await?;
            if self.outside == Some(Since::Now) && ledger.is_new() {
                // Written down before anything comes: started again, it must not begin later.
                let ends = start::ends(self.bus.as_ref(), topic).await?;
                let draft = Draft::of(&Book::new(ends.clone()), topic);
                (ledger, _) = ledger.save(Arc::clone(&self.store), draft, &self.runtime).await?;
                checkpoints.extend(ends);
            }
            epochs.insert(topic.clone(), ledger.epoch());
            ledgers.insert(topic.clone(), ledger);
        }
        if let Some(shelf) = &self.shelf {
            shelf.catch_up().await?;
        }
        self.seen.send_if_modified(|seen| {
            seen.lanes.extend(checkpoints.iter().cloned());
            let stood = !seen.still.is_empty();
            seen.still.clear();
            stood
        });
        self.forks.begins();
        show::begins(&self.status, &self.options.topics);
        let mut book = Book::new(checkpoints);
        book.accept(self.forks.accepted().await?);
        Ok((ledgers, book))
    }

    async fn take(&self, event: Result<BusEvent, BusError>, session: &mut Session) -> Result<(), Trouble> {
        match event {
            Ok(BusEvent::Assigned(partitions)) => {
                for partition in &partitions {
                    let offset = match session.book.offset(partition) {
                        Some(offset) => offset,
                        None => session.consumer.earliest(partition).await?,
                    };
                    self.begin(partition, offset, session).await?;
                }
                session.catch_up.assigned();
                self.show_progress(session);
                Ok(())
            }
            Ok(BusEvent::Records(partition, records)) => {
                // Nothing more of it until these are dealt with.
                session.consumer.pause(&partition);
                session.begin_batch(&partition, records);
                self.end_batch(&partition, session).await
            }
            // What is under way is dropped, and begun anew by whoever has the partitions then.
            Ok(BusEvent::Revoked(..)) => Err(Trouble::Later("partitions were taken away".to_owned())),
            // As with a gap: read from the beginning; the watermark knows what was done.
            Err(BusError::OffsetOutOfRange { partition, offset, earliest }) => {
                tracing::warn!(consumer = self.status.name(), %partition, %offset, %earliest, "offset out of range");
                self.begin(&partition, earliest, session).await?;
                self.show_progress(session);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn begin(&self, partition: &TopicPartition, at: Offset, session: &mut Session) -> Result<(), Trouble> {
        session.catch_up.give_up(partition);
        session.consumer.seek(partition, at).await?;
        let Beginning { last, tail, anew } = start::look(self.bus.as_ref(), &mut session.book, partition, at).await?;
        if let Some(last) = last {
            self.status.update(|report| report.target = report.target.max(last.position));
        }
        let mut at = at;
        if anew {
            at = session.consumer.earliest(partition).await?;
            session.consumer.seek(partition, at).await?;
        }
        session.catch_up.begin(partition, at, tail);
        Ok(())
    }

    async fn worked(&self, end: ChainEnd, session: &mut Session) -> Result<(), Trouble> {
        // Told to stop: what was not done is done after the next start.
        let ChainEnd::Ended(partition, failed) = end else { return Ok(()) };
        if let Some(batch) = session.batches.get_mut(&partition) {
            batch.ended(failed);
        }
        self.end_batch(&partition, session).await
    }

    /// Goes on behind batches that are dealt with.
    async fn end_batch(&self, partition: &TopicPartition, session: &mut Session) -> Result<(), Trouble> {
        while session.batches.get(partition).is_some_and(Batch::is_done) {
            let Some(batch) = session.batches.remove(partition) else { return Ok(()) };
            match self.written(batch, partition, session) {
                PlanEnd::Done => match session.rest.remove(partition) {
                    Some(rest) => session.begin_batch(partition, rest),
                    None => session.consumer.resume(partition),
                },
                PlanEnd::Reread(gap) => self.reread(partition, &gap, session).await?,
                PlanEnd::Stop(offset, stop) => self.stand_still(partition, offset, &stop, session).await?,
            }
        }
        Ok(())
    }

    /// What a batch did is known to the book and to whoever looks, and will be written down.
    fn written(&self, batch: Batch, partition: &TopicPartition, session: &mut Session) -> PlanEnd {
        let Outcome { plan, tally, end } = batch.outcome(&session.book, partition);
        if let Some(mut plan) = plan {
            session.book.written(&plan.moves);
            session.book.note_holes(&plan.gaps, &plan.filled);
            for (store, history) in plan.histories.drain(..) {
                session.book.learn(partition, store, history);
            }
            session.catch_up.reached(partition, plan.resume);
            if !plan.moves.is_empty() {
                session.unsaved.insert(partition.topic.clone());
                session.unsaved_records += tally.records.max(1);
            }
            let over = !plan.moves.is_empty() && session.standstill.forget(partition);
            if over {
                self.forks.goes_on(partition);
            }
            show::done(&self.status, partition, &plan, (tally.records, tally.last), over);
            self.seen.send_if_modified(|seen| {
                if over {
                    seen.still.remove(&partition.to_string());
                }
                seen.lanes.extend(plan.moves.into_iter().map(|step| (step.lane, step.next)));
                true
            });
        }
        self.show_progress(session);
        end
    }

    /// Reads a partition again from its beginning: what is missing may have arrived out of order.
    async fn reread(&self, partition: &TopicPartition, gap: &Gap, session: &mut Session) -> Result<(), Trouble> {
        let (watermark, previous) = (gap.watermark, gap.previous);
        tracing::warn!(consumer = self.status.name(), %partition, %watermark, %previous, "gap: reading again");
        session.book.note_reread(gap);
        session.rest.remove(partition);
        let earliest = session.consumer.earliest(partition).await?;
        session.consumer.seek(partition, earliest).await?;
        session.consumer.resume(partition);
        Ok(())
    }

    /// Lets a partition stand still at a record, until it is tried again.
    async fn stand_still(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        stop: &PartitionStop,
        session: &mut Session,
    ) -> Result<(), Trouble> {
        if start::learns_where_it_went(self.bus.as_ref(), &mut session.book, partition, stop).await? {
            session.rest.remove(partition);
            session.consumer.seek(partition, offset).await?;
            session.consumer.resume(partition);
            return Ok(());
        }
        let remedy = if self.outside.is_some() { LEFT_OUTSIDE } else { LEFT_RECORDED };
        let why = show::stands_still(&self.status, partition, offset, stop, remedy);
        self.seen.send_modify(|seen| drop(seen.still.insert(partition.to_string(), why)));
        if let PartitionStop::ForkedBelow { fork, watermark, left, history } = stop {
            let (partition, history) = (partition.clone(), history.clone());
            let (left, fork, watermark) = (*left, *fork, *watermark);
            self.forks.stands(Standing { partition, offset, left, history, fork, watermark });
        }
        session.rest.remove(partition);
        session.consumer.pause(partition);
        session.consumer.seek(partition, offset).await?;
        session.standstill.stop(partition, &self.runtime);
        Ok(())
    }

    fn show_progress(&self, session: &Session) {
        let caught_up = session.catch_up.is_done();
        show::progress(&self.status, caught_up);
        self.seen.send_if_modified(|seen| {
            let first = caught_up && !seen.start;
            seen.start |= caught_up;
            first
        });
    }
}
