//! A bus in memory: for tests and examples. It can lose what real brokers lose.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    Bus, BusError, Consumer, ConsumerOptions, NewRecord, Offset, Producer, Record, TopicPartition, TopicSpec,
    groups::{Groups, Topics},
    log::{self, Ends, FETCH_BYTES_MAX, Log, LogConsumer, LogProducer},
};
use crate::store::BoxFuture;

/// The largest record of a [`MemoryBus`], in bytes: Kafka's default.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// A bus in memory. Cheap to clone; clones are the same bus. Offsets begin at 0, as Kafka's do.
#[derive(Clone)]
pub struct MemoryBus {
    log: Arc<MemoryLog>,
    groups: Arc<Groups>,
}

type TopicLogs = BTreeMap<Arc<str>, Vec<PartitionLog>>;

#[derive(Default)]
struct PartitionLog {
    records: Vec<Record>,
    /// How often it lost records.
    losses: u64,
}

struct MemoryLog {
    topics: Mutex<TopicLogs>,
    changes: watch::Sender<u64>,
    closed: watch::Sender<bool>,
}

impl Default for MemoryBus {
    fn default() -> Self {
        let log =
            MemoryLog { topics: Mutex::default(), changes: watch::Sender::new(0), closed: watch::Sender::new(false) };
        Self { log: Arc::new(log), groups: Arc::default() }
    }
}

impl MemoryBus {
    /// An empty bus.
    pub fn new() -> Self {
        Self::default()
    }

    /// Deletes a topic with all its records, as an operator of a broker might.
    pub fn delete_topic(&self, topic: &str) {
        self.log.topics().remove(topic);
        self.log.changed();
        self.groups.refresh(|| self.log.topic_counts());
    }

    /// Loses the records of a partition from an offset on, acknowledged or not, as a broker does that acknowledged
    /// before its disk had them.
    pub fn lose_records(&self, partition: &TopicPartition, from: Offset) {
        // A partition that is not there has nothing to lose.
        let _ = self.log.with(partition, |log| {
            log.records.retain(|record| record.offset < from);
            log.losses += 1;
        });
        self.log.changed();
    }

    /// Forgets the records of a partition before an offset, as a broker's retention does; the last one always stays.
    pub fn cut_records(&self, partition: &TopicPartition, before: Offset) {
        // A partition that is not there has nothing to forget.
        let _ = self.log.with(partition, |log| {
            let last = log.records.last().map(|record| record.offset);
            log.records.retain(|record| record.offset >= before || Some(record.offset) == last);
        });
        self.log.changed();
    }

    /// Every record of a partition, in order.
    pub fn records(&self, partition: &TopicPartition) -> Vec<Record> {
        self.log.with(partition, |log| log.records.clone()).unwrap_or_default()
    }
}

impl MemoryLog {
    fn topics(&self) -> MutexGuard<'_, TopicLogs> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn topic_counts(&self) -> Topics {
        // As many partitions as TopicSpec allows: far below 4 G.
        self.topics().iter().map(|(name, partitions)| (name.clone(), partitions.len() as u32)).collect()
    }

    fn open(&self) -> Result<(), BusError> {
        if *self.closed.borrow() { Err(BusError::Closed) } else { Ok(()) }
    }

    fn with<T>(&self, partition: &TopicPartition, work: impl FnOnce(&mut PartitionLog) -> T) -> Result<T, BusError> {
        self.open()?;
        let mut topics = self.topics();
        let log = topics
            .get_mut(&partition.topic)
            .and_then(|partitions| partitions.get_mut(usize::try_from(partition.partition).ok()?))
            .ok_or_else(|| BusError::UnknownTopic(partition.topic.clone()))?;
        Ok(work(log))
    }

    fn append_now(&self, records: Vec<(TopicPartition, NewRecord)>) -> Result<Vec<Offset>, BusError> {
        for (partition, record) in &records {
            self.with(partition, |_| ())?;
            if record.bytes() > RECORD_BYTES_MAX {
                let (partition, bytes) = (partition.clone(), record.bytes());
                return Err(BusError::TooLarge { partition, bytes, limit: RECORD_BYTES_MAX });
            }
        }
        let mut offsets = Vec::with_capacity(records.len());
        for (partition, NewRecord { key, headers, value, timestamp }) in records {
            offsets.push(self.with(&partition, |PartitionLog { records, .. }| {
                let offset = records.last().map_or(Offset::new(0), |last| last.offset.next());
                records.push(Record { offset, key, headers, value, timestamp });
                offset
            })?);
        }
        self.changed();
        Ok(offsets)
    }
}

impl Log for MemoryLog {
    fn append(&self, records: Vec<(TopicPartition, NewRecord)>) -> BoxFuture<'_, Result<Vec<Offset>, BusError>> {
        Box::pin(async move { self.append_now(records) })
    }

    fn ends(&self, partition: &TopicPartition) -> Result<Ends, BusError> {
        self.with(partition, |PartitionLog { records, losses }| Ends {
            earliest: records.first().map_or(Offset::new(0), |first| first.offset),
            next: records.last().map_or(Offset::new(0), |last| last.offset.next()),
            generation: *losses,
        })
    }

    fn read(&self, partition: &TopicPartition, from: Offset, limit: usize) -> Result<Vec<Record>, BusError> {
        self.with(partition, |PartitionLog { records, .. }| {
            let start = records.partition_point(|record| record.offset < from);
            let mut bytes = 0;
            let fits = |record: &&Record| {
                let first = bytes == 0;
                bytes += record.key.len() + record.headers.bytes() + record.value.len();
                first || bytes <= FETCH_BYTES_MAX
            };
            records[start..].iter().take(limit).take_while(fits).cloned().collect()
        })
    }

    fn head(&self) -> u64 {
        *self.changes.borrow()
    }

    fn beyond(&self, seen: u64) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            let mut changes = self.changes.subscribe();
            let mut closed = self.closed.subscribe();
            // Both senders live in `self`: the waits end only by what they wait for.
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => Err(BusError::Closed),
                _ = changes.wait_for(|count| *count > seen) => Ok(()),
            }
        })
    }
}

impl Bus for MemoryBus {
    fn ensure_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(async move {
            self.log.open()?;
            {
                let mut known = self.log.topics();
                for TopicSpec { name, partitions } in topics {
                    TopicSpec::new(name, *partitions)?;
                    let there = known.get(name).map(|there| there.len() as u32);
                    if let Some(actual) = there.filter(|there| there != partitions) {
                        let (topic, expected) = (name.clone(), *partitions);
                        return Err(BusError::WrongPartitionCount { topic, expected, actual });
                    }
                }
                for TopicSpec { name, partitions } in topics {
                    known
                        .entry(name.clone())
                        .or_insert_with(|| (0..*partitions).map(|_| PartitionLog::default()).collect());
                }
            }
            self.groups.refresh(|| self.log.topic_counts());
            Ok(())
        })
    }

    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<u32, BusError>> {
        Box::pin(async move {
            self.log.open()?;
            self.log.topic_counts().get(topic).copied().ok_or_else(|| BusError::UnknownTopic(topic.into()))
        })
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, BusError>> {
        Box::pin(async move {
            self.log.open()?;
            Ok(Box::new(LogProducer(self.log.clone())) as Box<dyn Producer>)
        })
    }

    fn consumer(&self, options: ConsumerOptions) -> BoxFuture<'_, Result<Box<dyn Consumer>, BusError>> {
        Box::pin(async move {
            self.log.open()?;
            let consumer = LogConsumer::new(self.log.clone(), &self.groups, options)?;
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        })
    }

    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>> {
        Box::pin(async move { log::tail(self.log.as_ref(), partition, below) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            self.log.closed.send_replace(true);
            Ok(())
        })
    }
}
