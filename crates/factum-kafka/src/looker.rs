//! Looks at topics without reading them: how many partitions, where they begin and end, what stands last.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use factum::bus::{BusError, Offset, Record, TopicPartition};
use rdkafka::{
    ClientConfig, ClientContext, Message, TopicPartitionList,
    client::Client,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::{
    OptionError,
    client::{Common, Told, create, create_later, knows_brokers, lock},
    failure::{is_unknown_topic, of_topic, timed_out, unavailable},
    record::{offset_of, raw_offset, received},
};

/// The longest one question to the brokers takes.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// How long the number of a topic's partitions is remembered.
const KNOWN_FOR: Duration = Duration::from_secs(2);
/// The most clients kept for reading tails; each has a few threads.
const TAIL_READERS_MAX: usize = 2;
/// How many offsets without a record are stepped over at once, at most: only other people's transactions leave them.
const STEP_BACK_MAX: u64 = 10_000;

/// A client that belongs to no group, and what it knows.
pub(crate) struct Looker {
    common: Arc<Common>,
    /// None: the last one got no answer.
    client: Mutex<Option<Arc<BaseConsumer<Told>>>>,
    known: Mutex<HashMap<Arc<str>, (u32, Instant)>>,
    tail_readers: Mutex<Vec<BaseConsumer<Told>>>,
}

/// Where a partition begins, and where its next record goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) earliest: Offset,
    pub(crate) next: Offset,
}

impl Looker {
    pub(crate) fn new(common: Arc<Common>) -> Result<Self, OptionError> {
        let client = create(&config(&common), Told)?;
        let client = Mutex::new(Some(Arc::new(client)));
        Ok(Self { common, client, known: Mutex::default(), tail_readers: Mutex::default() })
    }

    /// Asks the brokers something. A client that gets no answer asks no more: it may have forgotten them all. Blocks.
    fn ask<T>(
        &self,
        what: &'static str,
        topic: &Arc<str>,
        question: impl FnOnce(&BaseConsumer<Told>) -> Result<T, KafkaError>,
    ) -> Result<T, BusError> {
        self.common.open()?;
        let client = match &mut *lock(&self.client) {
            Some(client) => client.clone(),
            none => none.insert(Arc::new(create_later(&config(&self.common), Told)?)).clone(),
        };
        let answer = question(&client).map_err(|error| of_topic(what, topic, error));
        // Errors that nobody else would take out of its queue.
        client.poll(Duration::ZERO);
        if matches!(answer, Err(BusError::Unavailable(_))) {
            lock(&self.client).take_if(|now| Arc::ptr_eq(now, &client));
            // It waits for its threads.
            self.common.spawn("kafka-looker-end", move || drop(client));
        }
        answer
    }

    /// Whether a client hears nothing because it knows nobody whom it could ask, although the brokers answer. Blocks.
    pub(crate) fn is_forgotten<C: ClientContext>(&self, client: &Client<C>, topic: &Arc<str>) -> bool {
        let outside = self.common.outside(topic);
        let answers = |looker: &BaseConsumer<Told>| match knows_brokers(looker.client(), &outside) {
            true => Ok(()),
            false => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure)),
        };
        // The last question again: the first was perhaps asked just before the brokers were back.
        !knows_brokers(client, &outside)
            && self.ask("asking for brokers", topic, answers).is_ok()
            && !knows_brokers(client, &outside)
    }

    /// How many partitions a topic has. Blocks.
    pub(crate) fn partitions(&self, topic: &str) -> Result<u32, BusError> {
        let (name, what): (Arc<str>, _) = (topic.into(), "asking for a topic");
        let metadata = self.ask(what, &name, |client| {
            let told = client.fetch_metadata(Some(&self.common.outside(topic)), LOOK_WITHIN)?;
            // So it is for a moment while a cluster comes up; this client has forgotten its brokers by now.
            let nobody = told.brokers().is_empty();
            if nobody { Err(KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerNotAvailable)) } else { Ok(told) }
        })?;
        let found = metadata.topics().first().ok_or_else(|| BusError::UnknownTopic(name.clone()))?;
        if let Some(error) = found.error() {
            lock(&self.known).remove(&name);
            return Err(of_topic(what, &name, KafkaError::MetadataFetch(error.into())));
        }
        // As many as TopicSpec allows: far below 4 G.
        let partitions = found.partitions().len() as u32;
        if partitions == 0 {
            return Err(BusError::UnknownTopic(name));
        }
        lock(&self.known).insert(name, (partitions, Instant::now()));
        Ok(partitions)
    }

    /// Refuses a partition that is not there. Asks the brokers only now and then. Blocks.
    pub(crate) fn exists(&self, partition: &TopicPartition) -> Result<(), BusError> {
        let known = lock(&self.known).get(&partition.topic).copied();
        let partitions = match known {
            Some((partitions, at)) if at.elapsed() < KNOWN_FOR => partitions,
            _ => self.partitions(&partition.topic)?,
        };
        if partition.partition < partitions { Ok(()) } else { Err(BusError::UnknownTopic(partition.topic.clone())) }
    }

    /// Whether a partition was there when last looked for, without asking anybody: whoever sends to one that is gone
    /// hears of it, and forgets.
    pub(crate) fn was_there(&self, partition: &TopicPartition) -> bool {
        let known = lock(&self.known).get(&partition.topic).copied();
        known.is_some_and(|(partitions, _)| partition.partition < partitions)
    }

    pub(crate) fn forget(&self, topic: &str) {
        lock(&self.known).remove(topic);
    }

    /// Where a partition begins and ends. Blocks.
    pub(crate) fn ends(&self, partition: &TopicPartition) -> Result<Ends, BusError> {
        self.exists(partition)?;
        let (topic, number) = self.outside(partition);
        let what = "asking where a partition ends";
        let asked = self.ask(what, &partition.topic, |client| client.fetch_watermarks(&topic, number, LOOK_WITHIN));
        let (low, high) = asked.inspect_err(|error| {
            if matches!(error, BusError::UnknownTopic(_)) {
                self.forget(&partition.topic);
            }
        })?;
        Ok(Ends { earliest: offset_of(low), next: offset_of(high) })
    }

    /// The last record, or the last one below an offset. Blocks.
    pub(crate) fn tail(&self, partition: &TopicPartition, below: Option<Offset>) -> Result<Option<Record>, BusError> {
        let ends = self.ends(partition)?;
        let end = below.map_or(ends.next, |below| below.min(ends.next));
        if end <= ends.earliest {
            return Ok(None);
        }
        let kept = lock(&self.tail_readers).pop();
        let reader = match kept {
            Some(reader) => reader,
            None => create_later(config(&self.common).set("group.id", self.common.outside("tail")), Told)?,
        };
        let found = self.last_before(&reader, partition, ends.earliest, end);
        if found.is_ok() && reader.unassign().is_ok() {
            let mut kept = lock(&self.tail_readers);
            if kept.len() < TAIL_READERS_MAX {
                kept.push(reader);
            }
        }
        found
    }

    fn last_before(
        &self,
        reader: &BaseConsumer<Told>,
        partition: &TopicPartition,
        earliest: Offset,
        end: Offset,
    ) -> Result<Option<Record>, BusError> {
        let mut step = 1;
        loop {
            let from = Offset::new(end.get().saturating_sub(step).max(earliest.get()));
            let found = self.read_last(reader, partition, from, end)?;
            if found.is_some() || from == earliest || step >= STEP_BACK_MAX {
                return Ok(found);
            }
            step = (step * 8).min(STEP_BACK_MAX);
        }
    }

    /// The last record of a range.
    fn read_last(
        &self,
        reader: &BaseConsumer<Told>,
        partition: &TopicPartition,
        from: Offset,
        end: Offset,
    ) -> Result<Option<Record>, BusError> {
        let what = "reading a partition's last record";
        let (topic, number) = self.outside(partition);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, number, raw_offset(from)).map_err(|error| unavailable(what, error))?;
        reader.assign(&list).map_err(|error| unavailable(what, error))?;
        let deadline = Instant::now() + LOOK_WITHIN;
        let mut last = None;
        loop {
            self.common.open()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(timed_out(what, LOOK_WITHIN));
            }
            match reader.poll(left.min(POLL_AT_MOST)) {
                Some(Ok(message)) => {
                    let offset = offset_of(message.offset());
                    if message.topic() != topic || message.partition() != number || offset < from {
                        continue;
                    }
                    if offset < end {
                        last = Some(received(&message));
                    }
                    if offset.next() >= end {
                        return Ok(last);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(of))) if of == number => return Ok(last),
                Some(Err(error)) => {
                    if error.rdkafka_error_code().is_some_and(is_unknown_topic) {
                        self.forget(&partition.topic);
                        return Err(of_topic(what, &partition.topic, error));
                    }
                    tracing::debug!(%error, %partition, "{what}");
                }
                None => {}
            }
        }
    }

    fn outside(&self, partition: &TopicPartition) -> (String, i32) {
        (self.common.outside(&partition.topic), number_of(partition))
    }
}

/// A closed bus is noticed after this.
const POLL_AT_MOST: Duration = Duration::from_millis(200);

/// As librdkafka takes a partition's number.
pub(crate) fn number_of(partition: &TopicPartition) -> i32 {
    i32::try_from(partition.partition).unwrap_or(i32::MAX)
}

fn config(common: &Common) -> ClientConfig {
    let mut config = ClientConfig::new();
    common.configure(&mut config);
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "true")
        // One record is wanted.
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", "4096")
        .set("fetch.wait.max.ms", "10")
        // One is soon there, and a partition whose queue was full is not fetched from for so long, whatever its next
        // position: a second, unless told.
        .set("fetch.queue.backoff.ms", "1");
    config
}
