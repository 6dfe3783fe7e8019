//! What the reader and the thread that speaks to librdkafka tell each other.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use factum::bus::{BusError, BusEvent, FETCH_BYTES_MAX, Offset, Record, Revocation, TopicPartition};
use tokio::sync::Notify;

use crate::{client::lock, record::received_bytes};

/// The most records and bytes that wait for the reader; beyond either, no more are taken out of librdkafka.
const WAITING_RECORDS_MAX: usize = 32_000;
const WAITING_BYTES_MAX: usize = 2 * FETCH_BYTES_MAX;

/// Between a reader and its worker.
pub(super) struct Shared {
    state: Mutex<State>,
    reader: Notify,
    bell: Bell,
}

#[derive(Default)]
struct State {
    news: VecDeque<News>,
    /// Partitions that the reader was told are its own.
    lanes: BTreeMap<TopicPartition, Lane>,
    /// The partition that delivered last: the next one goes first, so that none starves.
    last: Option<TopicPartition>,
    records: usize,
    bytes: usize,
    todo: Todo,
}

/// What the reader is to be told before any records.
enum News {
    Assigned(Vec<TopicPartition>),
    /// Held back by the group until they are released, unless they are lost.
    Revoked(Vec<TopicPartition>, bool),
    Failed(BusError),
}

#[derive(Default)]
struct Lane {
    /// What it delivers next.
    position: Option<Offset>,
    /// Where librdkafka is to be sent: what comes before that is not what the reader wants.
    sought: Option<Offset>,
    paused: bool,
    waiting: VecDeque<Record>,
}

impl Lane {
    /// What librdkafka is to bring next.
    fn fetches(&self) -> Option<Offset> {
        self.waiting.back().map(|record| record.offset.next()).or(self.position)
    }
}

/// What the worker is to do.
#[derive(Default)]
pub(super) struct Todo {
    pub(super) added: Vec<TopicPartition>,
    pub(super) removed: Vec<TopicPartition>,
    /// Revocations that were let go.
    pub(super) released: Vec<Vec<TopicPartition>>,
    pub(super) paused: Vec<TopicPartition>,
    pub(super) sought: Vec<(TopicPartition, Offset)>,
    pub(super) ends: bool,
}

/// Wakes the worker. Nothing else is locked while it is rung: librdkafka rings it holding locks of its own.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), reader: Notify::new(), bell: Bell::default() }
    }

    // The worker's side.

    /// There is something to do.
    pub(super) fn ring(&self) {
        *lock(&self.bell.rung) = true;
        self.bell.heard.notify_one();
    }

    /// Waits until there is something to do, or so long.
    pub(super) fn wait(&self, at_most: Duration) {
        let waited = self.bell.heard.wait_timeout_while(lock(&self.bell.rung), at_most, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }

    pub(super) fn todo(&self) -> Todo {
        let State { todo, lanes, .. } = &mut *lock(&self.state);
        let mut now = std::mem::take(todo);
        now.ends |= todo.ends;
        todo.ends = now.ends;
        for (partition, lane) in lanes {
            if let Some(at) = lane.sought.take_if(|_| !lane.paused) {
                now.sought.push((partition.clone(), at));
            }
        }
        now
    }

    /// A position that could not be set yet, unless the reader has given another one meanwhile.
    pub(super) fn seek_again(&self, partition: &TopicPartition, at: Offset) {
        if let Some(lane) = lock(&self.state).lanes.get_mut(partition) {
            lane.sought.get_or_insert(at);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let state = lock(&self.state);
        state.records < WAITING_RECORDS_MAX && state.bytes < WAITING_BYTES_MAX
    }

    /// Hands records over; those of a partition that is to deliver something else, or nothing, are dropped.
    pub(super) fn hand_over(&self, partition: &TopicPartition, records: Vec<Record>) {
        let State { lanes, records: count, bytes, .. } = &mut *lock(&self.state);
        let Some(lane) = lanes.get_mut(partition) else { return };
        if lane.sought.is_some() || lane.paused {
            return;
        }
        let Some(next) = lane.fetches() else { return };
        for record in records {
            if record.offset >= next {
                *count += 1;
                *bytes += received_bytes(&record);
                lane.waiting.push_back(record);
            }
        }
        if !lane.waiting.is_empty() {
            self.reader.notify_one();
        }
    }

    /// What is fetched next of each partition that has a position.
    pub(super) fn fetching(&self) -> Vec<(TopicPartition, Offset)> {
        let state = lock(&self.state);
        let fetching = state.lanes.iter().filter(|(_, lane)| lane.sought.is_none());
        fetching.filter_map(|(partition, lane)| Some((partition.clone(), lane.fetches()?))).collect()
    }

    /// A partition has nothing at a position; it delivers nothing until it is given another.
    pub(super) fn out_of_range(&self, partition: &TopicPartition, offset: Offset, earliest: Offset) {
        let mut state = lock(&self.state);
        // Another position was given since.
        let Some(lane) = state.lanes.get_mut(partition).filter(|lane| lane.sought.is_none()) else { return };
        lane.position = None;
        state.drop_waiting(partition);
        let partition = partition.clone();
        state.news.push_back(News::Failed(BusError::OffsetOutOfRange { partition, offset, earliest }));
        self.reader.notify_one();
    }

    pub(super) fn assigned(&self, partitions: Vec<TopicPartition>) {
        self.tell(News::Assigned(partitions));
    }

    pub(super) fn revoked(&self, partitions: Vec<TopicPartition>, lost: bool) {
        self.tell(News::Revoked(partitions, lost));
    }

    pub(super) fn failed(&self, error: BusError) {
        self.tell(News::Failed(error));
    }

    fn tell(&self, news: News) {
        lock(&self.state).news.push_back(news);
        self.reader.notify_one();
    }

    // The reader's side.

    /// Waits until there may be something next.
    pub(super) async fn news(&self) {
        self.reader.notified().await;
    }

    /// Assigns partitions by hand.
    pub(super) fn add(&self, partitions: Vec<TopicPartition>) {
        lock(&self.state).todo.added.extend(partitions.iter().cloned());
        self.assigned(partitions);
        self.ring();
    }

    /// Partitions assigned by hand are gone.
    pub(super) fn remove(&self, partitions: Vec<TopicPartition>) {
        lock(&self.state).todo.removed.extend(partitions.iter().cloned());
        self.revoked(partitions, true);
        self.ring();
    }

    pub(super) fn end(&self) {
        lock(&self.state).todo.ends = true;
        self.ring();
    }

    /// What happens next, if anything does now.
    pub(super) fn next(shared: &Arc<Self>, records_max: usize) -> Option<Result<BusEvent, BusError>> {
        let mut state = lock(&shared.state);
        match state.news.pop_front() {
            Some(News::Assigned(partitions)) => {
                state.lanes.extend(partitions.iter().map(|partition| (partition.clone(), Lane::default())));
                return Some(Ok(BusEvent::Assigned(partitions)));
            }
            Some(News::Revoked(partitions, lost)) => {
                for partition in &partitions {
                    state.drop_waiting(partition);
                    state.lanes.remove(partition);
                }
                let (shared, released) = (shared.clone(), partitions.clone());
                let revocation = Revocation::new(lost, move || {
                    if !lost {
                        lock(&shared.state).todo.released.push(released);
                        shared.ring();
                    }
                });
                return Some(Ok(BusEvent::Revoked(partitions, revocation)));
            }
            Some(News::Failed(error)) => return Some(Err(error)),
            None => {}
        }
        let was_full = state.records >= WAITING_RECORDS_MAX || state.bytes >= WAITING_BYTES_MAX;
        let (partition, records) = state.take(records_max)?;
        drop(state);
        if was_full {
            shared.ring();
        }
        Some(Ok(BusEvent::Records(partition, records)))
    }

    pub(super) fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        lock(&self.state).lanes.get(partition)?.position
    }

    pub(super) fn seek(&self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        let mut state = lock(&self.state);
        let lane = state.lanes.get_mut(partition).ok_or_else(|| BusError::NotAssigned(partition.clone()))?;
        (lane.position, lane.sought) = (Some(offset), Some(offset));
        state.drop_waiting(partition);
        drop(state);
        self.ring();
        Ok(())
    }

    pub(super) fn pause(&self, partition: &TopicPartition) {
        let mut state = lock(&self.state);
        let Some(lane) = state.lanes.get_mut(partition).filter(|lane| !lane.paused) else { return };
        lane.paused = true;
        // What waits would keep others from being fetched; it is fetched again.
        lane.sought = lane.position;
        state.drop_waiting(partition);
        state.todo.paused.push(partition.clone());
        drop(state);
        self.ring();
    }

    pub(super) fn resume(&self, partition: &TopicPartition) {
        if let Some(lane) = lock(&self.state).lanes.get_mut(partition) {
            lane.paused = false;
        }
        self.ring();
    }
}

impl State {
    fn drop_waiting(&mut self, partition: &TopicPartition) {
        let Some(lane) = self.lanes.get_mut(partition) else { return };
        for record in lane.waiting.drain(..) {
            self.records -= 1;
            self.bytes -= received_bytes(&record);
        }
    }

    /// The next records of whichever partition has some, in turn.
    fn take(&mut self, records_max: usize) -> Option<(TopicPartition, Vec<Record>)> {
        let ready = |(_, lane): &(&TopicPartition, &Lane)| !lane.waiting.is_empty();
        let after = self.lanes.iter().filter(|(partition, _)| Some(*partition) > self.last.as_ref()).find(ready);
        let turn = after.or_else(|| self.lanes.iter().find(ready)).map(|(partition, _)| partition.clone())?;
        let lane = self.lanes.get_mut(&turn)?;
        let (mut count, mut bytes) = (0, 0);
        for record in lane.waiting.iter().take(records_max) {
            let more = received_bytes(record);
            if count > 0 && bytes + more > FETCH_BYTES_MAX {
                break;
            }
            (count, bytes) = (count + 1, bytes + more);
        }
        let records: Vec<Record> = if count == lane.waiting.len() {
            std::mem::take(&mut lane.waiting).into()
        } else {
            lane.waiting.drain(..count).collect()
        };
        lane.position = records.last().map(|last| last.offset.next());
        self.records -= count;
        self.bytes -= bytes;
        self.last = Some(turn.clone());
        Some((turn, records))
    }
}
