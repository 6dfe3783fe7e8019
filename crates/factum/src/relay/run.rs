//! The relay's loop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    DynPublication,
    checkpoint::{Ledger, RelayCheckpoint},
    end::{RelayEnd, Trouble},
    lanes::{Lanes, Publisher, Shipment},
    rewind::{Before, Desk, Request, Rewound},
    survey::Survey,
};
use crate::{
    bus::{Bus, Origin, Producer, TOPIC_BYTES_MAX, TopicPartition, TopicSpec},
    model::EventId,
    read::Epoch,
    runtime::{Attempts, Backoff, LoopState, Runtime, Status, Stop, finished},
    store::{Batch, BoxFuture, Direction, EventStore, Position, Selection, StoreError, Subscription},
};

/// What the progress of a relay is named with, before its topic.
const PROGRESS_PREFIX: &str = "relay/";
const _: () = assert!(PROGRESS_PREFIX.len() + TOPIC_BYTES_MAX <= factum_engine::PROGRESS_NAME_BYTES_MAX);
/// How many events are read at once.
const READ_EVENTS_MAX: usize = 500;
/// How many events may pass before the checkpoint is stored although it was stored just before, or nothing was sent.
const UNSAVED_EVENTS_MAX: u64 = 1_000;
/// The least time from one storing of the checkpoint to the next: each is a sync, for which the next messages wait, and
/// all it spares is looking at events again.
const SAVING_REST: Duration = Duration::from_millis(50);
/// How often a relay looks whether its topic still has what was acknowledged last on each partition. Sending tells as well,
/// but a partition may be quiet for long, and its readers wait behind a gap as long as nobody notices.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Publishes the events of a store on one topic: in order, without a gap, at least once. The only way from a store to
/// the bus.
///
/// Its checkpoint is written after the acknowledgements, so a crash anywhere sends again and never leaves a gap. The
/// future of [`Relay::run`] may be dropped at any point for the same reason. Every message names the one before it on
/// its lane, so that consumers drop what comes again and see what is missing.
pub struct Relay {
    pub(super) store: Arc<dyn EventStore>,
    bus: Arc<dyn Bus>,
    pub(super) runtime: Runtime,
    pub(super) publisher: Publisher,
    status: Status,
    pub(super) desk: Desk,
    /// The highest position that was ever acknowledged, as far as is known: what comes at or below it is a re-send.
    highest: AtomicU64,
    resent: AtomicU64,
}

/// What one run of the loop works with.
struct Session {
    lanes: Lanes,
    ledger: Ledger,
    /// Something was sent since the checkpoint was stored.
    unsaved: bool,
    /// Until when the checkpoint is not stored again.
    resting: Option<BoxFuture<'static, ()>>,
    /// Until when nobody looks whether all is still there.
    looked: BoxFuture<'static, ()>,
}

impl Session {
    /// Moves the checkpoint: after the acknowledgements, never before.
    fn reached(&mut self, read_to: Position, event_id: Option<EventId>, sent: bool) {
        let checkpoint = &mut self.ledger.checkpoint;
        (checkpoint.read_to, checkpoint.event_id) = (read_to.get(), event_id);
        self.lanes.record(checkpoint);
        self.unsaved |= sent;
    }

    fn is_to_be_saved(&self) -> bool {
        (self.unsaved && self.resting.is_none()) || self.ledger.unsaved() >= UNSAVED_EVENTS_MAX
    }
}

impl Relay {
    /// A relay for one publication of a service; [`Relay::run`] is its loop.
    pub fn new(
        system: &str,
        service: &str,
        publication: DynPublication,
        store: Arc<dyn EventStore>,
        bus: Arc<dyn Bus>,
        runtime: Runtime,
    ) -> Self {
        let topic: Arc<str> = publication.topic().into();
        let identity = store.identity();
        let publisher = Publisher {
            origin: Origin { system: system.to_owned(), service: service.to_owned(), source: identity.source() },
            lineage: identity.forks.clone(),
            publication,
            topic: topic.clone(),
        };
        Self {
            store,
            bus,
            runtime,
            publisher,
            status: Status::new(&format!("relay {topic}")),
            desk: Desk::default(),
            highest: AtomicU64::default(),
            resent: AtomicU64::default(),
        }
    }

    /// The topic it publishes on.
    pub fn topic(&self) -> &str {
        &self.publisher.topic
    }

    /// How many messages it sent again since it was made.
    pub fn resent(&self) -> u64 {
        self.resent.load(Ordering::Relaxed)
    }

    /// What its progress is named.
    pub(super) fn progress_name(&self) -> String {
        format!("{PROGRESS_PREFIX}{}", self.topic())
    }

    /// What the loop shows of itself.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Publishes until told to stop. What time can mend is tried again, from the checkpoint, with growing waits.
    ///
    /// # Errors
    /// See [`RelayEnd`].
    pub async fn run(&self, stop: Stop) -> Result<(), RelayEnd> {
        let (mut epoch, mut session) = (None, None);
        let mut attempts = Attempts::new(&self.status, &self.runtime, stop);
        while attempts.go_on() {
            let over = attempts
                .stop
                .unless(self.publish_on(&mut epoch, &mut session, &mut attempts.backoff))
                .await
                .unwrap_or(Ok(()));
            attempts.over(over).await?;
        }
        if let Some(mut session @ Session { unsaved: true, .. }) = session
            && let Err(trouble) = self.save(&mut session).await
        {
            // The next start looks at these events again, and finds them sent.
            tracing::info!(relay = self.status.name(), error = %trouble, "stopped without its last checkpoint");
        }
        self.status.update(|report| report.state = LoopState::Stopped);
        Ok(())
    }

    /// From the checkpoint to the first trouble; after a rewind, from the checkpoint again.
    async fn publish_on(
        &self,
        epoch: &mut Option<Epoch>,
        session: &mut Option<Session>,
        backoff: &mut Backoff,
    ) -> Result<(), Trouble> {
        loop {
            self.publish(epoch, session, backoff).await?;
        }
    }

    /// One run from the checkpoint to the first trouble, or until it is asked to rewind.
    async fn publish(
        &self,
        epoch: &mut Option<Epoch>,
        session: &mut Option<Session>,
        backoff: &mut Backoff,
    ) -> Result<(), Trouble> {
        // What the last run did not store is looked at again: whether it was acknowledged, the topic tells.
        *session = None;
        let topic = &self.publisher.topic;
        let again = epoch.is_some();
        let mut ledger = Ledger::open(self.store.clone(), self.progress_name(), epoch).await?;
        if again {
            // As long as nothing can be written down, the same messages would be sent again at every attempt.
            ledger.save().await?;
        }
        let known = ledger.checkpoint.last_sent.values().copied().max().unwrap_or_default();
        self.highest.fetch_max(known, Ordering::Relaxed);
        // Before the bus is asked for anything: it may be away.
        while let Some(request) = self.desk.take() {
            self.rewind(request, &mut ledger).await?;
        }
        let partitions = self.publisher.publication.partitions();
        self.bus.ensure_topics(&[TopicSpec::new(topic, partitions)?]).await?;
        let lanes = self.survey(&ledger, partitions).await?;
        let mut producer = self.bus.producer().await?;
        let start = lanes.start(&ledger.checkpoint);
        let mut subscription = Subscription::new(self.store.clone(), Selection::everything(), start);
        let session = session.insert(Session {
            lanes,
            ledger,
            unsaved: false,
            resting: None,
            looked: self.runtime.sleep(LOOK_EVERY),
        });
        let told = self.tell_left(start, &mut Shipment::default(), session, producer.as_mut()).await?;
        let RelayCheckpoint { read_to, event_id, .. } = session.ledger.checkpoint;
        session.reached(start, event_id.filter(|_| start.get() == read_to), told);
        self.show(start, self.head().await?);
        loop {
            tokio::select! {
                biased;
                () = self.desk.asked() => {
                    // Whatever is on the topic is known to be: a rewind keeps that as evidence.
                    self.save(session).await?;
                    return Ok(());
                }
                () = &mut session.looked => {
                    session.lanes.look(self.bus.as_ref(), topic).await?;
                    session.looked = self.runtime.sleep(LOOK_EVERY);
                }
                batch = subscription.next(READ_EVENTS_MAX) => {
                    let batch = batch?;
                    self.ship(&batch, session, producer.as_mut()).await?;
                    backoff.reset();
                    self.show(batch.read_to, if batch.end { batch.read_to } else { self.head().await? });
                }
                () = finished(&mut session.resting) => {}
            }
            if session.is_to_be_saved() {
                self.save(session).await?;
                (session.unsaved, session.resting) = (false, Some(self.runtime.sleep(SAVING_REST)));
            }
        }
    }

    /// Goes back to a position, by the checkpoint: it holds through any crash, whether or not anything can be sent.
    async fn rewind(&self, request: Request, ledger: &mut Ledger) -> Result<(), Trouble> {
        let from = Position::new(ledger.checkpoint.read_to);
        let to = request.to.min(from);
        let before = self.before(to).await?;
        ledger.checkpoint.rewind(to, before);
        ledger.save().await?;
        self.status.update(|report| (report.state, report.position) = (LoopState::CatchingUp, to));
        tracing::warn!(topic = self.topic(), %to, %from, "rewound: what was published after it is sent again");
        // Nobody waits any more for what is done all the same.
        let _ = request.done.send(Ok(Rewound { to, from }));
        Ok(())
    }

    /// Where each lane stands at a position: its last message there is looked for from there back, by translating again.
    async fn before(&self, to: Position) -> Result<Before, Trouble> {
        let partitions = self.publisher.publication.partitions();
        let mut before = Before { event_id: None, last: (0..partitions).map(|partition| (partition, 0)).collect() };
        let (everything, mut missing, mut reads_before) = (Selection::everything(), partitions, to.next());
        while missing > 0 && to > Position::ZERO {
            let batch = self.store.read(&everything, reads_before, Direction::Backward, READ_EVENTS_MAX).await?;
            for event in &batch.events {
                if event.position == to {
                    before.event_id = Some(event.id);
                }
                let Some((partition, _)) = self.publisher.outgoing(event)? else { continue };
                let last = before.last.entry(partition).or_default();
                if *last == 0 {
                    *last = event.position.get();
                    missing -= 1;
                }
            }
            if batch.end {
                break;
            }
            reads_before = batch.read_to;
        }
        Ok(before)
    }

    async fn survey(&self, ledger: &Ledger, partitions: u32) -> Result<Lanes, Trouble> {
        let survey = Survey {
            bus: self.bus.as_ref(),
            runtime: &self.runtime,
            store: self.store.as_ref(),
            checkpoint: &ledger.checkpoint,
        };
        let mut lanes = Vec::new();
        for partition in 0..partitions {
            lanes.push(survey.lane(&TopicPartition::new(self.publisher.topic.clone(), partition)).await?);
        }
        Ok(Lanes::new(lanes, &self.publisher.lineage))
    }

    /// Sends the messages of a batch and moves the checkpoint over it.
    async fn ship(&self, batch: &Batch, session: &mut Session, producer: &mut dyn Producer) -> Result<(), Trouble> {
        let (mut shipment, mut told) = (Shipment::default(), false);
        for event in &batch.events {
            let before = Position::new(event.position.get().saturating_sub(1));
            told |= self.tell_left(before, &mut shipment, session, producer).await?;
            session.lanes.load(&self.publisher, event, &mut shipment)?;
            if shipment.is_full() {
                self.send(std::mem::take(&mut shipment), &mut session.lanes, producer).await?;
                session.reached(event.position, Some(event.id), true);
            }
        }
        told |= self.tell_left(batch.read_to, &mut shipment, session, producer).await?;
        let last = batch.events.last().filter(|event| event.position == batch.read_to).map(|event| event.id);
        let sends = !shipment.records.is_empty();
        if sends {
            self.send(shipment, &mut session.lanes, producer).await?;
        }
        session.reached(batch.read_to, last, sends || told);
        Ok(())
    }

    /// Says on each partition that ends with a history that was left that it was, once reading is where the present one
    /// began; a shipment on its way goes before that. False when there is nothing to say.
    async fn tell_left(
        &self,
        read_to: Position,
        shipment: &mut Shipment,
        session: &mut Session,
        producer: &mut dyn Producer,
    ) -> Result<bool, Trouble> {
        if !session.lanes.are_to_tell(read_to) {
            return Ok(false);
        }
        if !shipment.records.is_empty() {
            self.send(std::mem::take(shipment), &mut session.lanes, producer).await?;
        }
        while let Some(told) = session.lanes.tell(&self.publisher, self.runtime.now()) {
            self.send(told, &mut session.lanes, producer).await?;
        }
        Ok(true)
    }

    async fn send(&self, shipment: Shipment, lanes: &mut Lanes, producer: &mut dyn Producer) -> Result<(), Trouble> {
        let offsets = producer.produce(shipment.records).await?;
        lanes.acknowledged(&shipment.manifest, &offsets, &self.publisher.topic)?;
        let highest = self.highest.load(Ordering::Relaxed);
        let again = shipment.manifest.iter().filter(|(_, position)| position.get() <= highest).count();
        self.resent.fetch_add(again as u64, Ordering::Relaxed);
        let last = shipment.manifest.last().map_or(0, |(_, position)| position.get());
        self.highest.fetch_max(last, Ordering::Relaxed);
        self.status.update(|report| report.processed += offsets.len() as u64);
        Ok(())
    }

    /// Stores the checkpoint: what it says was sent is on the topic, with everything before it.
    async fn save(&self, session: &mut Session) -> Result<(), Trouble> {
        session.lanes.look_back(self.bus.as_ref(), &self.publisher.topic).await?;
        session.ledger.save().await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        Ok(self.store.heads().await?.synced)
    }

    fn show(&self, position: Position, head: Position) {
        self.status.update(|report| {
            report.state = if position >= head { LoopState::Live } else { LoopState::CatchingUp };
            report.position = position;
            report.target = report.target.max(head);
            report.last_error = None;
        });
    }
}
