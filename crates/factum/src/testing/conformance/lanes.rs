//! A sample on its way: partitions, and what a relay and a broker do to it.

use std::{collections::BTreeMap, sync::Arc};

use super::{diary::Diary, sample::Told};
use crate::{
    bus::{Bus, MemoryBus, NewRecord, Offset, TopicPartition, TopicSpec},
    store::Position,
    testing::Simulation,
};

/// The most partitions of a sample's topic.
const PARTITIONS_MAX: u64 = 6;
/// The most records that are sent at once.
const BURST_MAX: u64 = 4;

/// All partitions of a sample, and how far each was sent.
pub(super) struct Lanes {
    simulation: Simulation,
    bus: MemoryBus,
    disturbed: bool,
    /// How many partitions each topic has.
    partitions: BTreeMap<Arc<str>, u64>,
    /// Which partition each key of a topic is on.
    keys: BTreeMap<(Arc<str>, String), u64>,
    lanes: Vec<Lane>,
}

struct Lane {
    partition: TopicPartition,
    messages: Vec<(Told, NewRecord)>,
    /// The message to be sent next.
    next: usize,
    /// Which message stands at which offset.
    sent: Vec<usize>,
}

impl Lanes {
    /// Nothing is to be sent yet. Each topic will have as many partitions as chance says, and each key will be on the one
    /// that chance says; all on one when there is to be no disturbance.
    pub(super) fn new(simulation: &Simulation, bus: &MemoryBus, disturbed: bool) -> Self {
        let (simulation, bus) = (simulation.clone(), bus.clone());
        Self { simulation, bus, disturbed, partitions: BTreeMap::new(), keys: BTreeMap::new(), lanes: Vec::new() }
    }

    /// A topic is there, with a number of partitions.
    pub(super) async fn topic(&mut self, topic: &Arc<str>) -> u64 {
        if let Some(partitions) = self.partitions.get(topic) {
            return *partitions;
        }
        let partitions = 1 + self.below(PARTITIONS_MAX);
        self.partitions.insert(Arc::clone(topic), partitions);
        let count = u32::try_from(partitions).expect("there are few");
        let spec = TopicSpec::new(topic, count).unwrap_or_else(|error| panic!("{error}"));
        self.bus.ensure_topics(&[spec]).await.expect("a bus in memory takes any topic");
        partitions
    }

    /// A message is to be sent, behind the others of its partition.
    pub(super) async fn push(&mut self, message: Told) {
        let partitions = self.topic(&message.topic).await;
        let chosen = self.below(partitions);
        let key = (Arc::clone(&message.topic), message.stream.to_string());
        let partition = *self.keys.entry(key).or_insert(chosen);
        let partition = u32::try_from(partition).expect("there are few");
        let partition = TopicPartition::new(Arc::clone(&message.topic), partition);
        let at = self.lanes.iter().position(|lane| lane.partition == partition).unwrap_or(self.lanes.len());
        if at == self.lanes.len() {
            self.lanes.push(Lane { partition, messages: Vec::new(), next: 0, sent: Vec::new() });
        }
        let lane = &mut self.lanes[at];
        let previous = lane.messages.last().map_or(Position::ZERO, |(before, _)| before.position);
        let record = message.envelope(previous).encode();
        lane.messages.push((message, record));
    }

    fn below(&self, bound: u64) -> u64 {
        if self.disturbed { self.simulation.random_below(bound) } else { 0 }
    }

    /// Whether everything is on the bus, to stay there.
    pub(super) fn is_whole(&self) -> bool {
        self.lanes.iter().all(|lane| lane.next == lane.messages.len())
    }

    /// Sends a few messages of one partition, in order.
    pub(super) async fn go_on(&mut self) {
        let open: Vec<usize> = (0..self.lanes.len()).filter(|at| !self.lanes[*at].is_whole()).collect();
        let Some(at) = self.one_of(&open) else { return };
        let burst = usize::try_from(1 + self.simulation.random_below(BURST_MAX)).expect("is small");
        let lane = &mut self.lanes[at];
        let to = lane.messages.len().min(lane.next + burst);
        lane.send(&self.bus, lane.next..to).await;
        lane.next = to;
    }

    /// As a relay that died before it noted what it had sent: some of it comes once more.
    pub(super) async fn send_again(&mut self, diary: &Diary) {
        let Some((at, from)) = self.somewhere_sent() else { return };
        let lane = &mut self.lanes[at];
        diary.note(format!("{} sent again from {} on", lane.partition, lane.messages[from].0));
        lane.send(&self.bus, from..lane.next).await;
    }

    /// A message is left out on the wire; it comes later, and with it what was sent behind the hole.
    pub(super) async fn leave_a_hole(&mut self, diary: &Diary) {
        let holed = |at: &usize| self.lanes[*at].next + 1 < self.lanes[*at].messages.len();
        let open: Vec<usize> = (0..self.lanes.len()).filter(holed).collect();
        let Some(at) = self.one_of(&open) else { return };
        let lane = &mut self.lanes[at];
        diary.note(format!("{} left out on {}", lane.messages[lane.next].0, lane.partition));
        lane.send(&self.bus, lane.next + 1..lane.next + 2).await;
    }

    /// The broker loses the end of a partition; the relay will notice.
    pub(super) fn lose_the_end(&mut self, diary: &Diary) {
        let Some((at, from)) = self.somewhere_sent() else { return };
        let lane = &mut self.lanes[at];
        let offset = lane.sent.iter().position(|sent| *sent >= from).expect("it was sent");
        diary.note(format!("{} loses everything from {} on", lane.partition, lane.messages[from].0));
        self.bus.lose_records(&lane.partition, Offset::new(offset as u64));
        let lost = lane.sent.split_off(offset);
        lane.next = lost.into_iter().min().unwrap_or(lane.next).min(lane.next);
    }

    /// A partition and a message on it that was sent.
    fn somewhere_sent(&self) -> Option<(usize, usize)> {
        let begun: Vec<usize> = (0..self.lanes.len()).filter(|at| self.lanes[*at].next > 0).collect();
        let at = self.one_of(&begun)?;
        let from = self.simulation.random_below(self.lanes[at].next as u64);
        Some((at, usize::try_from(from).expect("is an index")))
    }

    fn one_of(&self, lanes: &[usize]) -> Option<usize> {
        let chosen = self.simulation.random_below(lanes.len() as u64);
        lanes.get(usize::try_from(chosen).expect("is an index")).copied()
    }
}

impl Lane {
    fn is_whole(&self) -> bool {
        self.next == self.messages.len()
    }

    async fn send(&mut self, bus: &MemoryBus, which: std::ops::Range<usize>) {
        let records = which.clone().map(|at| (self.partition.clone(), self.messages[at].1.clone())).collect();
        let mut producer = bus.producer().await.expect("a bus in memory is there");
        producer
            .produce(records)
            .await
            .unwrap_or_else(|error| panic!("a message of the sample cannot be sent: {error}"));
        self.sent.extend(which);
    }
}
