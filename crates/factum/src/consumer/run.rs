//! The consumer's loop.

use std::{sync::Arc, time::Duration};

use super::{
    book::{Book, Gap},
    catch_up::CatchUp,
    end::{ConsumerEnd, PartitionStop, Trouble},
    plan::{Plan, PlanEnd},
    standstill::Standstill,
};
use crate::{
    bus::{Bus, BusError, BusEvent, Consumer, ConsumerOptions, Envelope, Offset, Record, TopicPartition},
    model::RawEvent,
    projections::{ApplyError, DynProjection, Feed, Phase, Watermarks},
    read::{CheckpointMove, Epoch, ReadError, ReadStore},
    runtime::{Backoff, LoopState, Runtime, Status, Stop},
};

/// The most records of one transaction.
const BATCH_RECORDS_MAX: usize = 1_000;
/// How long one transaction should take at most: when one took longer, the next ones take fewer records.
const BATCH_TIME_MAX: Duration = Duration::from_millis(500);
/// The first wait after an error.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(10);
/// The longest wait after an error.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Feeds one projection from topics of the bus: effects, watermark and offset of a batch in one transaction.
///
/// Killing it anywhere, or running it twice, applies each message once: the transaction is fenced by the projection's
/// epoch, and the watermark drops what comes again.
pub struct ProjectionConsumer {
    projection: Arc<DynProjection>,
    options: ConsumerOptions,
    bus: Arc<dyn Bus>,
    read_store: Arc<dyn ReadStore>,
    watermarks: Arc<Watermarks>,
    runtime: Runtime,
    status: Status,
}

/// What one run of the loop works with.
struct Session {
    epoch: Epoch,
    book: Book,
    consumer: Box<dyn Consumer>,
    standstill: Standstill,
    catch_up: CatchUp,
    /// How many records the next transaction takes.
    batch_records: usize,
}

/// What became of a plan.
enum Written {
    All,
    /// The message of this record cannot be applied; nothing was written.
    Refused(usize, PartitionStop),
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
        let status = Status::new(&format!("consumer {key}"));
        let projection = Arc::new(projection);
        let consumer = Self { projection, options, bus, read_store, watermarks, runtime, status };
        consumer.watermarks.track(key, consumer.feed(), Vec::new());
        consumer.watermarks.set_phase(key, Phase::Refilling { done: 0, total: 0 });
        consumer
    }

    /// What the loop shows of itself. Its position is the one last applied, of whichever source.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Consumes until told to stop; the batch at hand is finished first. What time can mend is tried again, from the
    /// checkpoints, with growing waits.
    ///
    /// # Errors
    /// See [`ConsumerEnd`].
    pub async fn run(&self, mut stop: Stop) -> Result<(), ConsumerEnd> {
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        let mut epoch = None;
        loop {
            match self.consume(&mut stop, &mut epoch, &mut backoff).await {
                Ok(()) => break,
                Err(Trouble::End(end)) => {
                    let stood_down = matches!(end, ConsumerEnd::StoodDown);
                    self.show_failure(if stood_down { LoopState::StoodDown } else { LoopState::Failed }, &end);
                    return Err(end);
                }
                Err(trouble) => {
                    self.show_failure(LoopState::BackingOff, &trouble);
                    if stop.unless(self.runtime.sleep(backoff.next(&self.runtime))).await.is_none() {
                        break;
                    }
                }
            }
        }
        self.status.update(|report| report.state = LoopState::Stopped);
        Ok(())
    }

    /// One run from the checkpoints to the stop signal or the first trouble.
    async fn consume(&self, stop: &mut Stop, epoch: &mut Option<Epoch>, backoff: &mut Backoff) -> Result<(), Trouble> {
        let (epoch, book, mut catch_up) = self.take_over(epoch).await?;
        let Some(consumer) = stop.unless(self.bus.consumer(self.options.clone())).await else { return Ok(()) };
        if !self.any_topic().await? {
            catch_up.nothing_there();
        }
        let mut session = Session {
            epoch,
            book,
            consumer: consumer?,
            standstill: Standstill::default(),
            catch_up,
            batch_records: BATCH_RECORDS_MAX,
        };
        self.show_progress(&session);
        loop {
            let waiting = stop.unless(async {
                tokio::select! {
                    biased;
                    () = session.standstill.due(&self.runtime) => None,
                    event = session.consumer.next() => Some(event),
                }
            });
            let Some(event) = waiting.await else { return Ok(()) };
            match event {
                None => session.resume_due(&self.runtime),
                Some(event) => {
                    let fed = matches!(event, Ok(BusEvent::Records(..)));
                    self.take(event, &mut session).await?;
                    if fed {
                        backoff.reset();
                    }
                }
            }
        }
    }

    async fn take(&self, event: Result<BusEvent, BusError>, session: &mut Session) -> Result<(), Trouble> {
        match event {
            Ok(BusEvent::Assigned(partitions)) => self.assigned(&partitions, session).await,
            Ok(BusEvent::Records(partition, records)) => {
                let mut rest = records.as_slice();
                while !rest.is_empty() {
                    let (batch, later) = rest.split_at(session.batch_records.min(rest.len()));
                    let before = self.runtime.now();
                    if !self.apply(&partition, batch, session).await? {
                        break;
                    }
                    session.fit_batch(self.runtime.now().since(before));
                    rest = later;
                }
                Ok(())
            }
            Ok(BusEvent::Revoked(partitions, revocation)) => {
                // Nothing is under way between two events, so the next owner may go on at once.
                for partition in &partitions {
                    session.standstill.forget(partition);
                    session.catch_up.give_up(partition);
                }
                drop(revocation);
                Ok(())
            }
            // As with a gap: read from the beginning; the watermark knows what was applied.
            Err(BusError::OffsetOutOfRange { partition, offset, earliest }) => {
                tracing::warn!(consumer = self.status.name(), %partition, %offset, %earliest, "offset out of range");
                session.consumer.seek(&partition, earliest).await?;
                self.begin(&partition, earliest, session).await
            }
            Err(error) => Err(error.into()),
        }
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
        self.watermarks.track(key, self.feed(), checkpoints.clone());
        let book = Book::new(checkpoints);
        // A filling that was interrupted is not over.
        let begun = matches!(self.watermarks.phase(key), Phase::Refilling { total, .. } if total > 0);
        let catch_up = CatchUp::new(book.is_empty() || begun);
        self.watermarks.set_phase(key, catch_up.phase());
        Ok((epoch, book, catch_up))
    }

    async fn any_topic(&self) -> Result<bool, BusError> {
        for topic in &self.options.topics {
            match self.bus.partitions(topic).await {
                Ok(_) => return Ok(true),
                Err(BusError::UnknownTopic(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Sets where each partition resumes. Another member of the group may have moved the checkpoints meanwhile.
    async fn assigned(&self, partitions: &[TopicPartition], session: &mut Session) -> Result<(), Trouble> {
        let (key, read_store) = (self.projection.key(), self.read_store.clone());
        let checkpoints = self.runtime.blocking(move || read_store.checkpoints(key)).await??;
        self.watermarks.track(key, self.feed(), checkpoints.clone());
        session.book.reload(checkpoints);
        for partition in partitions {
            let offset = match session.book.offset(partition) {
                Some(offset) => offset,
                None => session.consumer.earliest(partition).await?,
            };
            session.consumer.seek(partition, offset).await?;
            self.begin(partition, offset, session).await?;
        }
        Ok(())
    }

    /// A partition begins at an offset; what is there now is to be caught up with.
    async fn begin(&self, partition: &TopicPartition, at: Offset, session: &mut Session) -> Result<(), Trouble> {
        let tail = self.bus.tail(partition, None).await?;
        session.catch_up.give_up(partition);
        session.catch_up.begin(partition, at, tail.as_ref().map(|tail| tail.offset));
        if let Some(Ok(last)) = tail.map(|tail| Envelope::decode(&tail.headers, &tail.value)) {
            self.status.update(|report| report.target = report.target.max(last.position));
        }
        self.show_progress(session);
        Ok(())
    }

    /// Applies records of one partition; false when the partition goes on elsewhere or stands still.
    async fn apply(
        &self,
        partition: &TopicPartition,
        records: &[Record],
        session: &mut Session,
    ) -> Result<bool, Trouble> {
        let mut records = records;
        let mut end = PlanEnd::Done;
        while !records.is_empty() {
            let plan = Plan::new(&session.book, partition, records);
            match self.write(plan, session.epoch).await? {
                (plan, Written::All) => {
                    self.written(partition, &plan, session);
                    if matches!(end, PlanEnd::Done) {
                        end = plan.end;
                    }
                    break;
                }
                // What comes before it can be applied: written without it, then the partition stops there.
                (_, Written::Refused(index, stop)) => {
                    end = PlanEnd::Stop(records[index].offset, stop);
                    records = &records[..index];
                }
            }
        }
        match end {
            PlanEnd::Done => return Ok(true),
            PlanEnd::Reread(gap) => self.reread(partition, &gap, session).await?,
            PlanEnd::Stop(offset, stop) => self.stand_still(partition, offset, &stop, session).await?,
        }
        Ok(false)
    }

    /// Effects and checkpoints in one transaction, on a thread of their own.
    async fn write(&self, plan: Plan, epoch: Epoch) -> Result<(Plan, Written), Trouble> {
        if plan.moves.is_empty() {
            return Ok((plan, Written::All));
        }
        let (key, read_store, projection) = (self.projection.key(), self.read_store.clone(), self.projection.clone());
        let work = move || {
            let mut refused = None;
            let written = read_store.write(key, epoch, &plan.moves, &mut |tx| {
                refused = None;
                for (index, message) in &plan.messages {
                    let raw = RawEvent { name: &message.name, schema: 1, data: &message.data };
                    if let Err(source) = projection.apply(raw, &message.delivery(), tx) {
                        refused = Some((*index, message.position, message.name.clone(), source));
                        return Err(ReadError::Broken("rolled back".to_owned()));
                    }
                }
                Ok(())
            });
            (plan, written, refused)
        };
        match self.runtime.blocking(work).await? {
            (plan, Ok(()), _) => Ok((plan, Written::All)),
            (_, Err(_), Some((_, _, _, ApplyError::Read(error)))) if is_the_stores(&error) => Err(error.into()),
            (plan, Err(_), Some((index, position, name, source))) => {
                Ok((plan, Written::Refused(index, PartitionStop::Apply { position, name, source })))
            }
            (_, Err(error), None) => Err(error.into()),
        }
    }

    /// After the commit: what was written is known to the book, to waiting queries and to whoever looks.
    fn written(&self, partition: &TopicPartition, plan: &Plan, session: &mut Session) {
        session.book.written(&plan.moves);
        let moved = plan.moves.iter().map(|CheckpointMove { lane, next, .. }| (lane.clone(), *next));
        self.watermarks.moved(self.projection.key(), moved);
        session.catch_up.reached(partition, plan.resume);
        let over = !plan.moves.is_empty() && session.standstill.forget(partition);
        for gap in &plan.gaps {
            self.report_gap(partition, gap);
        }
        self.status.update(|report| {
            report.processed += plan.messages.len() as u64;
            report.dropped += plan.repeated;
            report.last_error = None;
            if let Some((_, last)) = plan.messages.last() {
                report.position = last.position;
                report.target = report.target.max(last.position);
            }
            if over {
                report.alarms.remove(&partition.to_string());
            }
            for step in &plan.moves {
                report.alarms.remove(step.lane.as_str());
            }
        });
        self.show_progress(session);
    }

    fn show_progress(&self, session: &Session) {
        self.watermarks.set_phase(self.projection.key(), session.catch_up.phase());
        let state = if session.catch_up.is_done() { LoopState::Live } else { LoopState::CatchingUp };
        self.status.update(|report| report.state = state);
    }

    /// Reads a partition again from its beginning: what is missing may have arrived out of order.
    async fn reread(&self, partition: &TopicPartition, gap: &Gap, session: &mut Session) -> Result<(), Trouble> {
        let (watermark, previous) = (gap.watermark, gap.previous);
        tracing::warn!(consumer = self.status.name(), %partition, %watermark, %previous, "gap: reading again");
        session.book.note_reread(gap);
        let earliest = session.consumer.earliest(partition).await?;
        Ok(session.consumer.seek(partition, earliest).await?)
    }

    fn report_gap(&self, partition: &TopicPartition, gap: &Gap) {
        let text = format!(
            "messages of store {} above position {} and up to {} are missing on {partition}: \
             let its relay publish again from position {}",
            gap.source.store, gap.watermark, gap.previous, gap.watermark
        );
        self.alarm(gap.lane.as_str(), text);
    }

    /// Lets a partition stand still at a record, until it is tried again.
    async fn stand_still(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        stop: &PartitionStop,
        session: &mut Session,
    ) -> Result<(), Trouble> {
        let text = format!("{partition} stands still at offset {offset}: {stop}");
        self.status.update(|report| report.last_error = Some(text.clone()));
        self.alarm(&partition.to_string(), text);
        session.consumer.pause(partition);
        session.consumer.seek(partition, offset).await?;
        session.standstill.stop(partition, &self.runtime);
        Ok(())
    }

    fn alarm(&self, about: &str, text: String) {
        self.status.update(|report| {
            if report.alarms.get(about) != Some(&text) {
                tracing::error!(consumer = self.status.name(), about, text, "alarm");
                report.alarms.insert(about.to_owned(), text);
            }
        });
    }

    fn feed(&self) -> Feed {
        Feed::Topics(self.options.topics.iter().map(ToString::to_string).collect())
    }

    fn show_failure(&self, state: LoopState, trouble: &dyn std::fmt::Display) {
        let text = trouble.to_string();
        tracing::warn!(consumer = self.status.name(), error = text, state = state.as_str(), "consumer interrupted");
        self.status.update(|report| {
            report.state = state;
            report.last_error = Some(text);
        });
    }
}

impl Session {
    /// Takes fewer records at once after a slow transaction, and more again after a quick one.
    fn fit_batch(&mut self, took: Duration) {
        self.batch_records = if took > BATCH_TIME_MAX {
            (self.batch_records / 2).max(1)
        } else {
            (self.batch_records * 2).min(BATCH_RECORDS_MAX)
        };
    }

    /// Lets partitions that stood still long enough try again.
    fn resume_due(&mut self, runtime: &Runtime) {
        for partition in self.standstill.take_due(runtime.now()) {
            self.consumer.resume(&partition);
        }
    }
}

/// Whether an error is the read store's, and has nothing to do with the message.
const fn is_the_stores(error: &ReadError) -> bool {
    matches!(error, ReadError::Unavailable(_) | ReadError::Fenced { .. } | ReadError::Moved { .. })
}
