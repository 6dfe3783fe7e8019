//! What a service has to do with the bus, for operators: what it publishes, what it hears, and how far each is.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::sync::watch;

use crate::{
    bus::{Bus, BusError, Offset, TopicPartition},
    consumer::Seen,
    model::{ProjectionKey, Source},
    projections::{Feed, Watermarks},
    read::{Checkpoint, Lane},
    relay::Relays,
    runtime::{LoopState, Status},
    store::Position,
};

/// The most partitions that are looked at for one answer: each costs a question to the bus.
pub const TRAFFIC_PARTITIONS_MAX: usize = 1_000;
/// The most sources that are told of one partition of a consumer.
pub const TRAFFIC_SOURCES_MAX: usize = 16;

/// The relays and consumers of a service. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traffic {
    relays: Relays,
    hears: Vec<Hears>,
    watermarks: Arc<Watermarks>,
    bus: Option<Arc<dyn Bus>>,
}

/// A loop that hears topics.
#[derive(Clone)]
struct Hears {
    status: Status,
    topics: Vec<Arc<str>>,
    knows: Knows,
}

/// Where what it has dealt with is known.
#[derive(Clone)]
enum Knows {
    Projection(ProjectionKey),
    Effects(watch::Receiver<Seen>),
}

/// How far a consumer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerState {
    /// Its loop's name: `projection statements@1`, `process transfer`.
    pub consumer: String,
    /// What the loop is doing.
    pub state: LoopState,
    /// How many messages it dealt with since the service started.
    pub processed: u64,
    /// How many re-sends it dropped since then.
    pub dropped: u64,
    /// What an operator must look at: gaps, forks, what is parked.
    pub alarms: BTreeMap<String, String>,
    /// The last error, until it works again.
    pub last_error: Option<String>,
    /// Each partition that it hears.
    pub partitions: Vec<PartitionState>,
}

/// How far a consumer is with one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The record that is next; `None` before the first.
    pub next: Option<Offset>,
    /// The last record on the bus; `None` when there is none, or the bus does not answer.
    pub tail: Option<Offset>,
    /// The highest position that was dealt with of each source, at most [`TRAFFIC_SOURCES_MAX`].
    pub watermarks: Vec<(Source, Position)>,
}

/// A topic that a service publishes or hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub topic: String,
    /// The service publishes on it.
    pub is_published: bool,
    /// How many partitions it has on the bus; `None` when it is not there.
    pub partitions: Option<u32>,
    /// The offset after the last record of each partition, added up: about how many records it ever had, retained or not.
    /// Not every bus counts from zero, and without holes.
    pub records: u64,
}

impl PartitionState {
    /// How many offsets it is behind: as many records, but for those that a bus counts and does not have.
    pub fn lag(&self) -> u64 {
        let next = self.next.map_or(0, Offset::get);
        self.tail.map_or(0, |tail| tail.next().get().saturating_sub(next))
    }
}

impl Traffic {
    pub(super) fn new(watermarks: Arc<Watermarks>, bus: Option<Arc<dyn Bus>>) -> Self {
        Self { relays: Relays::default(), hears: Vec::new(), watermarks, bus }
    }

    pub(super) const fn relays_mut(&mut self) -> &mut Relays {
        &mut self.relays
    }

    pub(super) fn projection(&mut self, key: ProjectionKey, status: Status) {
        self.hears.push(Hears { status, topics: Vec::new(), knows: Knows::Projection(key) });
    }

    pub(super) fn effects(&mut self, topics: Vec<Arc<str>>, status: Status, seen: watch::Receiver<Seen>) {
        self.hears.push(Hears { status, topics, knows: Knows::Effects(seen) });
    }

    /// What publishes, and sends again when asked to.
    pub const fn relays(&self) -> &Relays {
        &self.relays
    }

    /// How far each consumer is, partition by partition: at most [`TRAFFIC_PARTITIONS_MAX`] of them in all.
    ///
    /// # Errors
    /// The bus does not answer.
    pub async fn consumers(&self) -> Result<Vec<ConsumerState>, BusError> {
        let mut looks = Looks { bus: self.bus.as_deref(), left: TRAFFIC_PARTITIONS_MAX, tails: HashMap::new() };
        let mut states = Vec::with_capacity(self.hears.len());
        for hears in &self.hears {
            let (topics, lanes) = self.known(hears);
            let mut partitions = Vec::new();
            for topic in topics {
                for partition in 0..looks.partitions(&topic).await?.unwrap_or(0) {
                    let Some(tail) = looks.tail(&TopicPartition::new(Arc::clone(&topic), partition)).await? else {
                        break;
                    };
                    partitions.push(state_of(&lanes, &topic, partition, tail));
                }
            }
            let report = hears.status.report();
            states.push(ConsumerState {
                consumer: hears.status.name().to_owned(),
                state: report.state,
                processed: report.processed,
                dropped: report.dropped,
                alarms: report.alarms,
                last_error: report.last_error,
                partitions,
            });
        }
        Ok(states)
    }

    /// The topics of this service as they are on the bus.
    ///
    /// # Errors
    /// The bus does not answer.
    pub async fn topics(&self) -> Result<Vec<TopicState>, BusError> {
        let published = self.relays.topics().map(|topic| (Arc::from(topic), true));
        let heard = self.hears.iter().flat_map(|hears| self.known(hears).0).map(|topic| (topic, false));
        let mut all: BTreeMap<Arc<str>, bool> = heard.collect();
        all.extend(published);
        let mut looks = Looks { bus: self.bus.as_deref(), left: TRAFFIC_PARTITIONS_MAX, tails: HashMap::new() };
        let mut states = Vec::with_capacity(all.len());
        for (topic, is_published) in all {
            let partitions = looks.partitions(&topic).await?;
            let mut records = 0;
            for partition in 0..partitions.unwrap_or(0) {
                let tail = looks.tail(&TopicPartition::new(Arc::clone(&topic), partition)).await?.flatten();
                records += tail.map_or(0, |tail| tail.next().get());
            }
            states.push(TopicState { topic: topic.as_ref().to_owned(), is_published, partitions, records });
        }
        Ok(states)
    }

    /// What a loop hears, and what it has dealt with.
    fn known(&self, hears: &Hears) -> (Vec<Arc<str>>, HashMap<Lane, Checkpoint>) {
        match &hears.knows {
            Knows::Projection(key) => {
                let topics = match self.watermarks.feed(*key) {
                    Some(Feed::Topics(topics)) => topics.iter().map(|topic| topic.as_str().into()).collect(),
                    _ => Vec::new(),
                };
                (topics, self.watermarks.lanes(*key).into_iter().collect())
            }
            Knows::Effects(seen) => (hears.topics.clone(), seen.borrow().lanes().clone()),
        }
    }
}

fn state_of(lanes: &HashMap<Lane, Checkpoint>, topic: &str, partition: u32, tail: Option<Offset>) -> PartitionState {
    let next = lanes.get(&Lane::offset(topic, partition)).map(|at| Offset::new(at.position.get()));
    let here = lanes.iter().filter(|(lane, at)| lane.of_topic() == Some((topic, partition)) && lane.is_proof(at));
    let mut watermarks: Vec<_> = here.filter_map(|(lane, at)| Some((lane.source()?, at.position))).collect();
    watermarks.sort_by_key(|(source, position)| (*position, source.store.to_string()));
    watermarks.truncate(TRAFFIC_SOURCES_MAX);
    PartitionState { topic: topic.to_owned(), partition, next, tail, watermarks }
}

/// Questions to the bus, each asked once, and not too many.
struct Looks<'a> {
    bus: Option<&'a dyn Bus>,
    left: usize,
    tails: HashMap<TopicPartition, Option<Offset>>,
}

impl Looks<'_> {
    async fn partitions(&self, topic: &str) -> Result<Option<u32>, BusError> {
        let Some(bus) = self.bus else { return Ok(None) };
        match bus.partitions(topic).await {
            Ok(count) => Ok(Some(count)),
            Err(BusError::UnknownTopic(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last record of a partition; `None` when enough was looked at.
    async fn tail(&mut self, partition: &TopicPartition) -> Result<Option<Option<Offset>>, BusError> {
        if let Some(known) = self.tails.get(partition) {
            return Ok(Some(*known));
        }
        let Some(bus) = self.bus.filter(|_| self.left > 0) else { return Ok(None) };
        self.left -= 1;
        let tail = match bus.tail(partition, None).await {
            Ok(tail) => tail.map(|record| record.offset),
            // Deleted since its partitions were counted.
            Err(BusError::UnknownTopic(_)) => None,
            Err(error) => return Err(error),
        };
        self.tails.insert(partition.clone(), tail);
        Ok(Some(tail))
    }
}
