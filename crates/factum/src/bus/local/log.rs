//! The log of the local bus: one engine, a stream per partition.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use factum_engine::{
    Append, AppendError, Direction, Engine, ExpectedVersion, NewEvent, Position, ReadError, StoredEvent, StreamName,
    Version,
};
use serde::{Deserialize, Serialize};

use super::record;
use crate::{
    bus::{
        BusError, NewRecord, Offset, Record, TopicPartition, TopicSpec,
        groups::Topics,
        log::{Ends, Log},
    },
    runtime::Runtime,
    store::BoxFuture,
};

/// The most records of one append; more are appended one batch after the other.
const BATCH_RECORDS_MAX: usize = 1_000;
/// The most bytes of one append; a single larger record still goes, alone.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// How many topics are read at once.
const TOPICS_PAGE_MAX: usize = 1_000;
/// The stream in which topics are recorded. Streams of partitions have a `/` in their name.
const TOPICS_STREAM: &str = "topics";
const TOPIC_MADE: &str = "topic-made";
const RECORD: &str = "record";

/// The first offset: an offset is a version in the partition's stream.
const EARLIEST: Offset = Offset::new(1);

/// A topic as it is recorded, in JSON.
#[derive(Serialize, Deserialize)]
struct TopicMade {
    name: String,
    partitions: u32,
}

pub(super) struct EngineLog {
    engine: Engine,
    record_bytes_max: usize,
    runtime: Runtime,
    topics: RwLock<BTreeMap<Arc<str>, Vec<StreamName>>>,
}

impl EngineLog {
    /// Reads which topics there are.
    pub(super) fn open(engine: Engine, record_bytes_max: usize, runtime: Runtime) -> Result<Self, BusError> {
        let log = Self { engine, record_bytes_max, runtime, topics: RwLock::default() };
        let stream = topics_stream();
        let mut from = Version::new(1);
        loop {
            let page = log.engine.read_stream(&stream, from, Direction::Forward, TOPICS_PAGE_MAX).map_err(unread)?;
            for event in &page.events {
                let made: TopicMade =
                    serde_json::from_slice(event.data()).map_err(|error| BusError::Damaged(error.into()))?;
                log.know(&TopicSpec::new(&made.name, made.partitions)?)?;
                from = event.version().next();
            }
            if page.end || page.events.is_empty() {
                return Ok(log);
            }
        }
    }

    pub(super) const fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn topics(&self) -> Topics {
        // As many partitions as TopicSpec allows: far below 4 G.
        self.known(|topics| topics.iter().map(|(name, streams)| (name.clone(), streams.len() as u32)).collect())
    }

    /// Makes a topic durably. One at a time: the caller sees to it.
    pub(super) async fn make_topic(&self, topic: &TopicSpec) -> Result<(), BusError> {
        let made = TopicMade { name: topic.name.to_string(), partitions: topic.partitions };
        let data = serde_json::to_vec(&made).map_err(|error| BusError::Damaged(error.into()))?;
        let event = self.event(TOPIC_MADE, Vec::new(), data);
        let append = Append::new(self.now()).stream(topics_stream(), ExpectedVersion::Any, vec![event]);
        self.engine.submit(append).await.map_err(unwritten)?;
        self.know(topic)
    }

    fn know(&self, topic: &TopicSpec) -> Result<(), BusError> {
        let streams: Result<Vec<StreamName>, _> =
            (0..topic.partitions).map(|partition| StreamName::new(format!("{}/{partition}", topic.name))).collect();
        let streams = streams.map_err(|error| BusError::Damaged(error.into()))?;
        self.topics.write().unwrap_or_else(PoisonError::into_inner).insert(topic.name.clone(), streams);
        Ok(())
    }

    fn known<T>(&self, look: impl FnOnce(&BTreeMap<Arc<str>, Vec<StreamName>>) -> T) -> T {
        look(&self.topics.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn stream(&self, partition: &TopicPartition) -> Result<StreamName, BusError> {
        let stream = self.known(|topics| {
            let index = usize::try_from(partition.partition).ok()?;
            topics.get(&partition.topic)?.get(index).cloned()
        });
        stream.ok_or_else(|| BusError::UnknownTopic(partition.topic.clone()))
    }

    fn event(&self, name: &'static str, metadata: Vec<u8>, data: Vec<u8>) -> NewEvent {
        let id = self.runtime.new_id().into_bytes();
        NewEvent { id, name: Cow::Borrowed(name), schema: 1, tags: Vec::new(), metadata, data }
    }

    fn now(&self) -> u64 {
        self.runtime.now().as_micros()
    }

    /// One atomic append: records by stream, and where each of them went.
    async fn append_batch(&self, batch: Vec<(StreamName, NewEvent)>) -> Result<Vec<Offset>, BusError> {
        let mut streams: BTreeMap<StreamName, Vec<NewEvent>> = BTreeMap::new();
        let mut places = Vec::with_capacity(batch.len());
        for (stream, event) in batch {
            let events = streams.entry(stream.clone()).or_default();
            places.push((stream, events.len()));
            events.push(event);
        }
        let counts: BTreeMap<StreamName, usize> =
            streams.iter().map(|(stream, events)| (stream.clone(), events.len())).collect();
        let append = streams.into_iter().fold(Append::new(self.now()), |append, (stream, events)| {
            append.stream(stream, ExpectedVersion::Any, events)
        });
        let receipt = self.engine.submit(append).await.map_err(unwritten)?;
        let before: BTreeMap<&StreamName, u64> =
            receipt.streams.iter().map(|(stream, after)| (stream, after.get() - counts[stream] as u64)).collect();
        Ok(places.iter().map(|(stream, index)| Offset::new(before[stream] + *index as u64 + 1)).collect())
    }

    async fn append_all(&self, records: Vec<(TopicPartition, NewRecord)>) -> Result<Vec<Offset>, BusError> {
        // All of them are judged before the first is written.
        let mut events = Vec::with_capacity(records.len());
        for (partition, record) in records {
            let stream = self.stream(&partition)?;
            let metadata = record::encode(&record);
            let bytes = metadata.as_ref().map_or(usize::MAX, |metadata| metadata.len() + record.value.len());
            let limit = self.record_bytes_max;
            let Some(metadata) = metadata.filter(|_| bytes <= limit) else {
                return Err(BusError::TooLarge { partition, bytes: record.bytes(), limit });
            };
            events.push((bytes, stream, self.event(RECORD, metadata, record.value.into())));
        }
        let mut offsets = Vec::with_capacity(events.len());
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        for (bytes, stream, event) in events {
            if batch.len() == BATCH_RECORDS_MAX || (batch_bytes > 0 && batch_bytes + bytes > BATCH_BYTES_MAX) {
                offsets.extend(self.append_batch(std::mem::take(&mut batch)).await?);
                batch_bytes = 0;
            }
            batch_bytes += bytes;
            batch.push((stream, event));
        }
        if !batch.is_empty() {
            offsets.extend(self.append_batch(batch).await?);
        }
        Ok(offsets)
    }
}

impl Log for EngineLog {
    fn append(&self, records: Vec<(TopicPartition, NewRecord)>) -> BoxFuture<'_, Result<Vec<Offset>, BusError>> {
        Box::pin(self.append_all(records))
    }

    fn ends(&self, partition: &TopicPartition) -> Result<Ends, BusError> {
        let version = self.engine.stream_version(&self.stream(partition)?).map_err(unread)?;
        Ok(Ends { earliest: EARLIEST, next: Offset::new(version.get()).next(), generation: 0 })
    }

    fn read(&self, partition: &TopicPartition, from: Offset, limit: usize) -> Result<Vec<Record>, BusError> {
        let (stream, from) = (self.stream(partition)?, Version::new(from.get()));
        let page = self.engine.read_stream(&stream, from, Direction::Forward, limit).map_err(unread)?;
        let mut last = None;
        let read = |event: &StoredEvent| {
            record::decode(event, &mut last).ok_or_else(|| {
                let place = format!("{partition} at offset {} was written by a newer build", event.version());
                BusError::Damaged(place.into())
            })
        };
        page.events.iter().map(read).collect()
    }

    fn head(&self) -> u64 {
        self.engine.heads().synced.get()
    }

    fn beyond(&self, seen: u64) -> BoxFuture<'_, Result<(), BusError>> {
        let beyond = self.engine.beyond(Position::new(seen));
        Box::pin(async move { beyond.await.map(|_| ()).map_err(|_| BusError::Closed) })
    }
}

fn topics_stream() -> StreamName {
    StreamName::new(TOPICS_STREAM).expect("a valid name")
}

fn unwritten(error: AppendError) -> BusError {
    match error {
        AppendError::DiskFull | AppendError::Overloaded { .. } | AppendError::Unavailable(_) => {
            BusError::Unavailable(error.into())
        }
        AppendError::Closed => BusError::Closed,
        // Poisoned, interrupted, corrupt: the log must be opened again. The rest was judged before the append.
        other => BusError::Damaged(other.into()),
    }
}

fn unread(error: ReadError) -> BusError {
    match error {
        ReadError::Closed => BusError::Closed,
        ReadError::Unavailable(_) => BusError::Unavailable(error.into()),
        other => BusError::Damaged(other.into()),
    }
}
