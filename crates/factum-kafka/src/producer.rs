//! Sends: idempotent, in order, one call at a time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use factum::{
    bus::{BusError, NewRecord, Offset, Producer, TopicPartition},
    store::BoxFuture,
};
use rdkafka::{
    ClientConfig, ClientContext, Message,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use tokio::sync::Notify;

use crate::{
    client::{Common, SILENT_MAX, create_later, forgot_brokers, knows_brokers, lock, log},
    failure::{of_topic, timed_out},
    looker::{Looker, number_of},
    record::{bytes_of, headers_of, offset_of},
    topics::{RECORD_BYTES_MAX, blocking, record_bytes_max},
};

/// The longest that one call waits for its acknowledgements.
const PRODUCE_WITHIN: Duration = Duration::from_secs(20);
/// How long a record waits for others to share a request with: a call's records are there at once.
const LINGER_MS: &str = "1";
/// The most records that wait inside the client, and their size.
const QUEUE_RECORDS_MAX: &str = "100000";
const QUEUE_KBYTES_MAX: &str = "262144";
/// How long a topic that brokers do not know any more may be about to appear.
const TOPIC_APPEARS_MS: &str = "5000";
const RECORD_BYTES_MAX_TEXT: &str = "1048588";
/// How often a full queue is looked at again.
const FULL_QUEUE_LOOK_EVERY: Duration = Duration::from_millis(1);

const WHAT: &str = "sending records";

/// What came back of the call under way.
#[derive(Default)]
struct Deliveries {
    state: Mutex<Batch>,
    all_back: Notify,
}

#[derive(Default)]
struct Batch {
    offsets: Vec<Offset>,
    left: usize,
    failed: Option<(usize, KafkaError)>,
}

struct Context(Arc<Deliveries>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ProducerContext for Context {
    /// A record's place in its call.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let mut batch = lock(&self.0.state);
        match result {
            Ok(message) => {
                if let Some(offset) = batch.offsets.get_mut(index) {
                    *offset = offset_of(message.offset());
                }
            }
            Err((error, _)) => {
                batch.failed.get_or_insert_with(|| (index, error.clone()));
            }
        }
        batch.left = batch.left.saturating_sub(1);
        if batch.left == 0 || batch.failed.is_some() {
            self.0.all_back.notify_one();
        }
    }
}

/// Producers that have nothing under way: a new one waits half a second for its identity on the broker.
#[derive(Default)]
pub(crate) struct Idle(Mutex<Vec<Sender>>);

/// The most producers kept at hand.
const IDLE_MAX: usize = 2;

/// A client and where its deliveries are noted.
struct Sender {
    client: Arc<ThreadedProducer<Context>>,
    deliveries: Arc<Deliveries>,
    /// Where it sent to last.
    topic: Option<Arc<str>>,
}

impl Sender {
    /// Whether it has brokers to send to, as far as is known. Blocks.
    fn knows_brokers(&self, common: &Common) -> bool {
        self.topic.as_ref().is_none_or(|topic| knows_brokers(self.client.client(), &common.outside(topic)))
    }
}

impl Idle {
    /// Ends them all.
    pub(crate) fn end(&self, common: &Arc<Common>) {
        for sender in std::mem::take(&mut *lock(&self.0)) {
            drop(Ending { common: common.clone(), sender: Some(sender) });
        }
    }
}

/// An idempotent producer. After an error, or a call that was given up, it sends nothing more.
pub(crate) struct KafkaProducer {
    common: Arc<Common>,
    looker: Arc<Looker>,
    idle: Arc<Idle>,
    sender: Option<Sender>,
    record_bytes_max: usize,
}

impl KafkaProducer {
    /// Blocks for a moment: threads are started.
    pub(crate) fn new(common: Arc<Common>, looker: Arc<Looker>, idle: Arc<Idle>) -> Result<Self, BusError> {
        common.open()?;
        let kept = lock(&idle.0).pop();
        let sender = match kept.map(|kept| Ending { common: common.clone(), sender: Some(kept) }) {
            // It may have been idle for long.
            Some(kept) if kept.get().knows_brokers(&common) => kept.keep(),
            _ => {
                let deliveries = Arc::new(Deliveries::default());
                let client = create_later(&config(&common), Context(deliveries.clone()))?;
                Some(Sender { client: Arc::new(client), deliveries, topic: None })
            }
        };
        let record_bytes_max = record_bytes_max(&common);
        Ok(Self { common, looker, idle, sender, record_bytes_max })
    }

    async fn send(&mut self, records: Vec<(TopicPartition, NewRecord)>) -> Result<Vec<Offset>, BusError> {
        self.common.open()?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        for (partition, record) in &records {
            let (bytes, limit) = (bytes_of(record), self.record_bytes_max);
            if bytes > limit {
                return Err(BusError::TooLarge { partition: partition.clone(), bytes, limit });
            }
        }
        self.all_exist(&records).await?;
        // Out of its place while it sends: a call that is given up midway leaves none.
        let given_up = || BusError::Unavailable("an earlier call failed or was given up: take a new producer".into());
        let mut sender = self.sender.take().ok_or_else(given_up)?;
        sender.topic = records.last().map(|(partition, _)| partition.topic.clone());
        *lock(&sender.deliveries.state) =
            Batch { offsets: vec![Offset::default(); records.len()], left: records.len(), failed: None };
        let ending = Ending { common: self.common.clone(), sender: Some(sender) };
        let mut closed = self.common.closed.subscribe();
        let sent = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(BusError::Closed),
            sent = tokio::time::timeout(PRODUCE_WITHIN, self.deliver(ending.get(), &records)) => {
                sent.unwrap_or_else(|_| Err(timed_out(WHAT, PRODUCE_WITHIN)))
            }
        };
        match sent {
            Ok(offsets) => {
                self.sender = ending.keep();
                Ok(offsets)
            }
            Err(error) => {
                for (partition, _) in &records {
                    self.looker.forget(&partition.topic);
                }
                Err(error)
            }
        }
    }

    async fn deliver(
        &self,
        Sender { client, deliveries, topic: last }: &Sender,
        records: &[(TopicPartition, NewRecord)],
    ) -> Result<Vec<Offset>, BusError> {
        let mut topic = String::new();
        let mut topic_of: Option<&Arc<str>> = None;
        for (index, (partition, record)) in records.iter().enumerate() {
            if topic_of != Some(&partition.topic) {
                topic = self.common.outside(&partition.topic);
                topic_of = Some(&partition.topic);
            }
            // Kafka keeps milliseconds.
            let millis = i64::try_from(record.timestamp.as_millis()).unwrap_or(i64::MAX);
            let mut message = BaseRecord::with_opaque_to(&topic, index)
                .partition(number_of(partition))
                .key(record.key.as_ref())
                .payload(record.value.as_ref())
                .timestamp(millis)
                .headers(headers_of(record));
            while let Err((error, back)) = client.send(message) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(self.failure(&partition.topic, error));
                }
                message = back;
                tokio::time::sleep(FULL_QUEUE_LOOK_EVERY).await;
            }
        }
        loop {
            {
                let mut batch = lock(&deliveries.state);
                if let Some((index, error)) = batch.failed.take() {
                    return Err(self.failure(&records[index].0.topic, error));
                }
                if batch.left == 0 {
                    return Ok(std::mem::take(&mut batch.offsets));
                }
            }
            if tokio::time::timeout(SILENT_MAX, deliveries.all_back.notified()).await.is_err()
                && let Some(topic) = last
            {
                self.asks_brokers(client.clone(), topic.clone()).await?;
            }
        }
    }

    /// Nothing came back for a while: an error if that is because the client knows nobody.
    async fn asks_brokers(&self, client: Arc<ThreadedProducer<Context>>, topic: Arc<str>) -> Result<(), BusError> {
        let looker = self.looker.clone();
        let forgot = move || if looker.is_forgotten(client.client(), &topic) { Err(forgot_brokers()) } else { Ok(()) };
        blocking(forgot).await
    }

    fn failure(&self, topic: &Arc<str>, error: KafkaError) -> BusError {
        of_topic(WHAT, topic, error)
    }

    /// librdkafka would wait for a topic that is not there.
    async fn all_exist(&self, records: &[(TopicPartition, NewRecord)]) -> Result<(), BusError> {
        let mut seen: Vec<&TopicPartition> = Vec::new();
        for (partition, _) in records {
            if seen.contains(&partition) {
                continue;
            }
            seen.push(partition);
            if !self.looker.was_there(partition) {
                let (looker, partition) = (self.looker.clone(), partition.clone());
                blocking(move || looker.exists(&partition)).await?;
            }
        }
        Ok(())
    }
}

impl Producer for KafkaProducer {
    fn produce(&mut self, records: Vec<(TopicPartition, NewRecord)>) -> BoxFuture<'_, Result<Vec<Offset>, BusError>> {
        Box::pin(self.send(records))
    }
}

impl Drop for KafkaProducer {
    /// Nothing is under way, or the client would not be here: the next one may have it.
    fn drop(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        let mut idle = lock(&self.idle.0);
        if idle.len() < IDLE_MAX && self.common.open().is_ok() {
            return idle.push(sender);
        }
        drop(idle);
        drop(Ending { common: self.common.clone(), sender: Some(sender) });
    }
}

/// A client that ends elsewhere when it is dropped, with whatever it still has in its queue: ending it waits for threads.
struct Ending {
    common: Arc<Common>,
    sender: Option<Sender>,
}

impl Ending {
    fn get(&self) -> &Sender {
        self.sender.as_ref().expect("there until it is kept")
    }

    fn keep(mut self) -> Option<Sender> {
        self.sender.take()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.client.purge(PurgeConfig::default().queue().inflight());
            self.common.spawn("kafka-producer-end", move || drop(sender));
        }
    }
}

fn config(common: &Common) -> ClientConfig {
    debug_assert_eq!(RECORD_BYTES_MAX_TEXT, RECORD_BYTES_MAX.to_string());
    let mut config = ClientConfig::new();
    config
        .set("linger.ms", LINGER_MS)
        .set("compression.codec", "lz4")
        .set("message.max.bytes", RECORD_BYTES_MAX_TEXT)
        .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX)
        .set("queue.buffering.max.kbytes", QUEUE_KBYTES_MAX)
        .set("topic.metadata.propagation.max.ms", TOPIC_APPEARS_MS);
    common.configure(&mut config);
    config.set("enable.idempotence", "true").set("acks", "all").set("message.timeout.ms", "0");
    config
}
