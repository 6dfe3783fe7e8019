//! The consumer's loop.

use std::{collections::HashMap, sync::Arc};

use super::{
    ahead::{FetchAhead, Fetched},
    book::Book,
    catch_up::CatchUp,
    end::{ConsumerEnd, Trouble},
    show,
    standstill::Standstill,
    start::{self, Beginning},
};
use crate::{
    bus::{Bus, BusError, ConsumerOptions, Offset, Record, TopicPartition},
    model::StoreId,
    projections::{BatchPace, DynProjection, Feed, Leash, POLITE_FETCH_RECORDS, Phase, Turn, Watermarks, Work},
    quarantine::{Desk, Parking, Parts, Quarantine, Request},
    read::{Epoch, ReadError, ReadStore},
    runtime::{Attempts, Backoff, LoopState, Runtime, Status, Stop},
    store::History,
};

/// The most records of one transaction. A refill writes the same documents and pages again and again: the more of its
/// records share a transaction, the fewer times.
const BATCH_RECORDS_MAX: usize = 16_000;

/// Feeds one projection from topics of the bus: effects, watermark and offset of a batch in one transaction.
///
/// Killing it anywhere, or running it twice, applies each message once: the transaction is fenced by the projection's
/// epoch, and the watermark drops what comes again.
pub struct ProjectionConsumer {
    pub(super) projection: Arc<DynProjection>,
    options: ConsumerOptions,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) read_store: Arc<dyn ReadStore>,
    pub(super) watermarks: Arc<Watermarks>,
    pub(super) runtime: Runtime,
    pub(super) status: Status,
    leash: Option<Leash>,
    pub(super) desk: Desk,
}

/// What one run of the loop works with.
pub(super) struct Session {
    pub(super) epoch: Epoch,
    pub(super) book: Book,
    pub(super) consumer: FetchAhead,
    pub(super) standstill: Standstill,
    pub(super) catch_up: CatchUp,
    /// Partitions at the end of the leash, and the offset of each that is out of reach.
    held: HashMap<TopicPartition, Offset>,
    pub(super) parking: Parking,
    pace: BatchPace,
    /// Beside a read model that answers, one thing is done at a time.
    reads_ahead: bool,
}

/// What happens next.
enum Next {
    Due,
    Asked(Request),
    Bus(Result<Fetched, BusError>),
}

impl ProjectionConsumer {
    /// Puts a loop together; [`ProjectionConsumer::run`] is it.
    pub fn new(
        projection: DynProjection,
        options: ConsumerOptions,
        bus: Arc<dyn Bus>,
        read_store: Arc<dyn ReadStore>,
        watermarks: Arc<Watermarks>,
        runtime: Runtime,
    ) -> Self {
        let key = projection.key();
        let consumer = Self::of(Arc::new(projection), options, bus, read_store, watermarks, runtime);
        consumer.watermarks.track(key, consumer.topics(), Vec::new());
        consumer.watermarks.set_phase(key, Phase::Refilling { done: 0, total: 0 });
        consumer
    }

    /// The same without a word to the watermarks before it has looked at the checkpoints.
    pub(crate) fn of(
        projection: Arc<DynProjection>,
        options: ConsumerOptions,
        bus: Arc<dyn Bus>,
        read_store: Arc<dyn ReadStore>,
        watermarks: Arc<Watermarks>,
        runtime: Runtime,
    ) -> Self {
        let (key, leash) = (projection.key(), None);
        let (status, desk) = (Status::new(&format!("consumer {key}")), Desk::alone(key));
        Self { projection, options, bus, read_store, watermarks, runtime, status, leash, desk }
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
        let desk = quarantine.open(self.projection.key(), self.status.name(), Arc::clone(&self.read_store));
        Self { desk, ..self }
    }

    /// What the loop shows of itself. Its position is the one last applied, of whichever source and partition, until
    /// nothing is known to be missing on any.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Consumes until told to stop; the batch at hand is finished first. What time can mend is tried again, from the
    /// checkpoints, with growing waits.
    ///
    /// # Errors
    /// See [`ConsumerEnd`].
    pub async fn run(&self, stop: Stop) -> Result<(), ConsumerEnd> {
        self.feed(stop).await?;
        self.status.update(|report| report.state = LoopState::Stopped);
        Ok(())
    }

    /// As [`ProjectionConsumer::run`], for whoever goes on by another loop: it does not show that it has stopped.
    pub(crate) async fn feed(&self, stop: Stop) -> Result<(), ConsumerEnd> {
        let mut epoch = None;
        let mut attempts = Attempts::new(&self.status, &self.runtime, stop);
        while attempts.go_on() {
            let over = self.consume(&mut attempts.stop, &mut epoch, &mut attempts.backoff).await;
            attempts.over(over).await?;
        }
        Ok(())
    }

    /// One run from the checkpoints to the stop signal or the first trouble.
    async fn consume(&self, stop: &mut Stop, epoch: &mut Option<Epoch>, backoff: &mut Backoff) -> Result<(), Trouble> {
        let (epoch, book, mut catch_up) = self.take_over(epoch).await?;
        let parking = Parking::take_over::<Trouble>(&self.parts(), epoch).await?;
        // Only now: whoever waits until it is whole looks at what is parked then.
        self.watermarks.set_phase(self.projection.key(), catch_up.phase());
        let Some(consumer) = stop.unless(self.bus.consumer(self.options.clone())).await else { return Ok(()) };
        let mut consumer = consumer?;
        if self.leash.is_some() {
            consumer.fetches_at_most(POLITE_FETCH_RECORDS);
        }
        if !start::any_topic(self.bus.as_ref(), &self.options.topics, &self.status).await? {
            catch_up.nothing_there();
        }
        show::begins(&self.status, &self.options.topics);
        let mut session = Session {
            epoch,
            book,
            consumer: FetchAhead::new(consumer),
            standstill: Standstill::default(),
            catch_up,
            held: HashMap::new(),
            parking,
            pace: match &self.leash {
                Some(leash) => BatchPace::polite(BATCH_RECORDS_MAX, leash.turns.pace()),
                None => BatchPace::new(BATCH_RECORDS_MAX),
            },
            reads_ahead: self.leash.is_none(),
        };
        self.show_progress(&session);
        loop {
            let waiting = stop.unless(async {
                tokio::select! {
                    biased;
                    () = session.standstill.due(&self.runtime) => Next::Due,
                    () = self.in_reach(&session.held) => Next::Due,
                    request = self.desk.request() => Next::Asked(request),
                    event = session.consumer.next() => Next::Bus(event),
                }
            });
            let Some(next) = waiting.await else { return Ok(()) };
            match next {
                Next::Due => {
                    session.resume_due(&self.runtime);
                    self.resume_held(&mut session);
                }
                Next::Asked(request) => self.asked(request, &mut session).await?,
                Next::Bus(event) => {
                    let fed = matches!(event, Ok(Fetched::Records(..)));
                    self.take(event, &mut session, stop).await?;
                    self.note_whole(&mut session).await?;
                    if fed {
                        backoff.reset();
                    }
                }
            }
        }
    }

    async fn take(
        &self,
        event: Result<Fetched, BusError>,
        session: &mut Session,
        stop: &mut Stop,
    ) -> Result<(), Trouble> {
        match event {
            Ok(Fetched::Assigned(partitions)) => self.assigned(&partitions, session).await,
            Ok(Fetched::Records(partition, records)) => {
                let reach = self.reach(&partition, &records);
                let mut start = 0;
                while start < reach {
                    let end = reach.min(start + session.pace.limit());
                    let Some(turn) = stop.unless(self.turn(session.catch_up.is_done())).await else { return Ok(()) };
                    let before = self.runtime.now();
                    if !self.apply(&partition, &records, start..end, session).await? {
                        return Ok(());
                    }
                    let took = self.runtime.now().since(before);
                    session.pace.took(took);
                    let done = (end - start) as u64;
                    start = end;
                    if let Some(leash) = &self.leash {
                        let work = Work { took, done, left: session.catch_up.left() };
                        session.pace.works(leash.pause(work, &self.watermarks, &self.runtime, stop).await);
                    }
                    drop(turn);
                }
                match records.get(reach) {
                    Some(next) => self.hold(&partition, next.offset, session).await,
                    None => Ok(()),
                }
            }
            Ok(Fetched::Revoked(partitions, revocation)) => {
                // Nothing is under way between two events, so the next owner may go on at once.
                for partition in &partitions {
                    session.standstill.forget(partition);
                    session.catch_up.give_up(partition);
                    session.held.remove(partition);
                }
                drop(revocation);
                Ok(())
            }
            // As with a gap: read from the beginning; the watermark knows what was applied.
            Err(BusError::OffsetOutOfRange { partition, offset, earliest }) => {
                tracing::warn!(consumer = self.status.name(), %partition, %offset, %earliest, "offset out of range");
                self.begin(&partition, earliest, session).await?;
                self.show_progress(session);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Does what an operator decided, and lets what stood still for want of room try again.
    async fn asked(&self, request: Request, session: &mut Session) -> Result<(), Trouble> {
        let epoch = session.epoch;
        session.parking.carry_out::<Trouble>(request, &self.parts(), epoch).await?;
        for partition in session.standstill.take_all() {
            session.consumer.resume(&partition);
        }
        Ok(())
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        let Self { desk, projection, read_store, watermarks, runtime, status, .. } = self;
        Parts { desk, projection, read_store, watermarks, runtime, status }
    }

    /// Claims the projection, once; later runs of the same loop keep its epoch, or two owners would take turns.
    async fn take_over(&self, claimed: &mut Option<Epoch>) -> Result<(Epoch, Book, CatchUp), Trouble> {
        let key = self.projection.key();
        let (read_store, known) = (self.read_store.clone(), *claimed);
        let loaded = self.runtime.blocking(move || {
            let epoch = known.map_or_else(|| read_store.claim(key), Ok)?;
            Ok::<_, ReadError>((epoch, read_store.checkpoints(key)?))
        });
        let (epoch, checkpoints) = loaded.await??;
        *claimed = Some(epoch);
        self.watermarks.track(key, self.topics(), checkpoints.clone());
        let book = Book::new(checkpoints);
        // A filling that was interrupted is not over.
        let catch_up = CatchUp::new(book.is_part());
        Ok((epoch, book, catch_up))
    }

    /// A refill that is over is known to be over from now on, also when no message ever comes again.
    async fn note_whole(&self, session: &mut Session) -> Result<(), Trouble> {
        let Some(step) = session.book.refill_move(false).filter(|_| !session.catch_up.is_refilling()) else {
            return Ok(());
        };
        let (key, epoch, read_store) = (self.projection.key(), session.epoch, Arc::clone(&self.read_store));
        let moves = [step];
        let write = move || read_store.write(key, epoch, &moves, &mut |_| Ok(())).map(|()| moves);
        session.book.written(&self.runtime.blocking(write).await??);
        Ok(())
    }

    /// Waits until it may apply what it has: on a leash, as long as it catches up, for its turn.
    async fn turn(&self, caught_up: bool) -> Option<Turn> {
        match &self.leash {
            Some(leash) => leash.turn(!caught_up, &self.runtime).await,
            None => None,
        }
    }

    /// How many of these records the leash lets it apply.
    fn reach(&self, partition: &TopicPartition, records: &[Record]) -> usize {
        let Some(leash) = &self.leash else { return records.len() };
        let end = leash.offset(partition);
        records.partition_point(|record| record.offset < end)
    }

    /// A partition waits at a record that is out of reach.
    async fn hold(&self, partition: &TopicPartition, at: Offset, session: &mut Session) -> Result<(), Trouble> {
        session.consumer.pause(partition);
        session.consumer.seek(partition, at).await?;
        session.held.insert(partition.clone(), at);
        Ok(())
    }

    /// Waits until a partition that is held may go on.
    async fn in_reach(&self, held: &HashMap<TopicPartition, Offset>) {
        match &self.leash {
            Some(leash) if !held.is_empty() => leash.reaches(held.iter()).await,
            _ => std::future::pending().await,
        }
    }

    fn resume_held(&self, session: &mut Session) {
        let Some(leash) = &self.leash else { return };
        let reached = session.held.extract_if(|partition, at| *at < leash.offset(partition));
        for (partition, _) in reached {
            session.consumer.resume(&partition);
        }
    }

    /// Sets where each partition resumes. Another member of the group may have moved the checkpoints meanwhile.
    async fn assigned(&self, partitions: &[TopicPartition], session: &mut Session) -> Result<(), Trouble> {
        let (key, read_store) = (self.projection.key(), self.read_store.clone());
        let checkpoints = self.runtime.blocking(move || read_store.checkpoints(key)).await??;
        self.watermarks.track(key, self.topics(), checkpoints.clone());
        session.book.reload(checkpoints);
        for partition in partitions {
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

    /// A partition begins at an offset; what is there now is to be caught up with.
    async fn begin(&self, partition: &TopicPartition, at: Offset, session: &mut Session) -> Result<(), Trouble> {
        session.catch_up.give_up(partition);
        session.consumer.seek(partition, at).await?;
        let Beginning { last, tail, anew } = start::look(self.bus.as_ref(), &mut session.book, partition, at).await?;
        if let Some(last) = last {
            self.learned(last.origin.source.store, last.history());
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

    /// Whoever waits for a message of an earlier history learns where that was left.
    pub(super) fn learned(&self, store: StoreId, history: History) {
        self.watermarks.learned(self.projection.key(), store, history);
    }

    fn topics(&self) -> Feed {
        Feed::Topics(self.options.topics.iter().map(ToString::to_string).collect())
    }
}

impl Session {
    /// Waits for work on the records at hand. On the way to what was there at the start, what comes next is fetched
    /// meanwhile; later on, what comes meanwhile is better taken together.
    pub(super) async fn beside<T>(&mut self, runtime: &Runtime, work: impl Future<Output = T>) -> T {
        if self.catch_up.is_done() || !self.reads_ahead {
            work.await
        } else {
            self.consumer.during(runtime, work).await
        }
    }

    /// Lets partitions that stood still long enough try again.
    fn resume_due(&mut self, runtime: &Runtime) {
        for partition in self.standstill.take_due(runtime.now()) {
            self.consumer.resume(&partition);
        }
    }
}
