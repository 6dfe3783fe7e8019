//! The relay's loop.

use std::{sync::Arc, time::Duration};

use super::{
    DynPublication,
    checkpoint::Ledger,
    end::{RelayEnd, Trouble},
    lanes::{Lanes, Publisher, Shipment},
    survey::Survey,
};
use crate::{
    bus::{Bus, Origin, Producer, TOPIC_BYTES_MAX, TopicPartition, TopicSpec},
    model::EventId,
    read::Epoch,
    runtime::{Backoff, LoopState, Runtime, Status, Stop},
    store::{Batch, EventStore, Position, Selection, StoreError, Subscription},
};

/// What the progress of a relay is named with, before its topic.
const PROGRESS_PREFIX: &str = "relay/";
const _: () = assert!(PROGRESS_PREFIX.len() + TOPIC_BYTES_MAX <= factum_engine::PROGRESS_NAME_BYTES_MAX);
/// How many events are read at once.
const READ_EVENTS_MAX: usize = 500;
/// How many events without a message may pass before the checkpoint is stored all the same.
const UNSAVED_EVENTS_MAX: u64 = 1_000;
/// The first wait after an error.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(10);
/// The longest wait after an error.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Publishes the events of a store on one topic: in order, without a gap, at least once. The only way from a store to
/// the bus.
///
/// Its checkpoint is written after the acknowledgements, so a crash anywhere sends again and never leaves a gap. The
/// future of [`Relay::run`] may be dropped at any point for the same reason. Every message names the one before it on
/// its lane, so that consumers drop what comes again and see what is missing.
pub struct Relay {
    store: Arc<dyn EventStore>,
    bus: Arc<dyn Bus>,
    runtime: Runtime,
    publisher: Publisher,
    status: Status,
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
        Self { store, bus, runtime, publisher, status: Status::new(&format!("relay {topic}")) }
    }

    /// What the loop shows of itself.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Publishes until told to stop. What time can mend is tried again, from the checkpoint, with growing waits.
    ///
    /// # Errors
    /// See [`RelayEnd`].
    pub async fn run(&self, mut stop: Stop) -> Result<(), RelayEnd> {
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        let mut epoch = None;
        loop {
            let trouble = match stop.unless(self.publish(&mut epoch, &mut backoff)).await {
                None => break,
                Some(trouble) => trouble,
            };
            if let Trouble::End(end) = trouble {
                let halted = matches!(end, RelayEnd::Halted(_));
                self.show_failure(if halted { LoopState::Failed } else { LoopState::StoodDown }, &end);
                return Err(end);
            }
            self.show_failure(LoopState::BackingOff, &trouble);
            if stop.unless(self.runtime.sleep(backoff.next(&self.runtime))).await.is_none() {
                break;
            }
        }
        self.status.update(|report| report.state = LoopState::Stopped);
        Ok(())
    }

    /// One run from the checkpoint to the first trouble.
    async fn publish(&self, epoch: &mut Option<Epoch>, backoff: &mut Backoff) -> Trouble {
        match self.try_publish(epoch, backoff).await {
            Err(trouble) => trouble,
            Ok(never) => match never {},
        }
    }

    async fn try_publish(
        &self,
        epoch: &mut Option<Epoch>,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, Trouble> {
        let topic = &self.publisher.topic;
        let again = epoch.is_some();
        let mut ledger = Ledger::open(self.store.clone(), format!("{PROGRESS_PREFIX}{topic}"), epoch).await?;
        if again {
            // As long as nothing can be written down, the same messages would be sent again at every attempt.
            ledger.save().await?;
        }
        let partitions = self.publisher.publication.partitions();
        self.bus.ensure_topics(&[TopicSpec::new(topic, partitions)?]).await?;
        let mut lanes = self.survey(&ledger, partitions).await?;
        let mut producer = self.bus.producer().await?;
        let start = lanes.start(&ledger.checkpoint);
        let mut subscription = Subscription::new(self.store.clone(), Selection::everything(), start);
        self.show(start, self.head().await?);
        loop {
            let batch = subscription.next(READ_EVENTS_MAX).await?;
            self.ship(&batch, &mut lanes, producer.as_mut(), &mut ledger).await?;
            backoff.reset();
            self.show(batch.read_to, if batch.end { batch.read_to } else { self.head().await? });
        }
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
        Ok(Lanes::new(lanes))
    }

    /// Sends the messages of a batch and moves the checkpoint over it.
    async fn ship(
        &self,
        batch: &Batch,
        lanes: &mut Lanes,
        producer: &mut dyn Producer,
        ledger: &mut Ledger,
    ) -> Result<(), Trouble> {
        let mut shipment = Shipment::default();
        for event in &batch.events {
            lanes.load(&self.publisher, event, &mut shipment)?;
            if shipment.is_full() {
                self.send(std::mem::take(&mut shipment), lanes, producer).await?;
                self.save(lanes, ledger, event.position, Some(event.id)).await?;
            }
        }
        let last = batch.events.last().filter(|event| event.position == batch.read_to).map(|event| event.id);
        let sent = !shipment.records.is_empty();
        if sent {
            self.send(shipment, lanes, producer).await?;
        }
        ledger.checkpoint.read_to = batch.read_to.get();
        if sent || ledger.unsaved() >= UNSAVED_EVENTS_MAX {
            self.save(lanes, ledger, batch.read_to, last).await?;
        }
        Ok(())
    }

    async fn send(&self, shipment: Shipment, lanes: &mut Lanes, producer: &mut dyn Producer) -> Result<(), Trouble> {
        let offsets = producer.produce(shipment.records).await?;
        lanes.acknowledged(&shipment.manifest, &offsets, &self.publisher.topic)?;
        self.status.update(|report| report.processed += offsets.len() as u64);
        Ok(())
    }

    /// After the acknowledgements, never before.
    async fn save(
        &self,
        lanes: &Lanes,
        ledger: &mut Ledger,
        read_to: Position,
        event_id: Option<EventId>,
    ) -> Result<(), Trouble> {
        ledger.checkpoint.read_to = read_to.get();
        ledger.checkpoint.event_id = event_id;
        lanes.record(&mut ledger.checkpoint);
        ledger.save().await
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

    fn show_failure(&self, state: LoopState, trouble: &dyn std::fmt::Display) {
        let text = trouble.to_string();
        match state {
            LoopState::Failed => tracing::error!(relay = self.status.name(), error = text, "relay halted"),
            _ => tracing::warn!(relay = self.status.name(), error = text, state = state.as_str(), "relay interrupted"),
        }
        self.status.update(|report| {
            report.state = state;
            report.last_error = Some(text);
        });
    }
}
