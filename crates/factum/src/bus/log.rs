//! A bus on an append-only log inside the process: what the memory bus and the local bus have in common.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Assignment, BusError, BusEvent, Consumer, ConsumerOptions, NewRecord, Offset, Producer, Record, Revocation,
    TopicPartition,
    groups::{Change, Groups, Member},
};
use crate::store::BoxFuture;

/// The most records of one [`BusEvent::Records`].
pub const FETCH_RECORDS_MAX: usize = 16_000;
/// The most bytes of one [`BusEvent::Records`]; a single larger record still comes, alone.
pub const FETCH_BYTES_MAX: usize = 16 << 20;

/// Where a partition begins and where its next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) earliest: Offset,
    pub(super) next: Offset,
    /// Changes whenever records that were there are gone, although offsets may be taken again since.
    pub(super) generation: u64,
}

/// What a bus inside the process is made of. Reads are short (memory, or the page cache) and do not wait.
pub(super) trait Log: Send + Sync {
    /// Sends records; see [`Producer::produce`].
    fn append(&self, records: Vec<(TopicPartition, NewRecord)>) -> BoxFuture<'_, Result<Vec<Offset>, BusError>>;

    /// Where a partition begins and ends.
    fn ends(&self, partition: &TopicPartition) -> Result<Ends, BusError>;

    /// Records from an offset on that exists: at least one, at most `limit`, and bounded by [`FETCH_BYTES_MAX`].
    fn read(&self, partition: &TopicPartition, from: Offset, limit: usize) -> Result<Vec<Record>, BusError>;

    /// A number that rises whenever there may be something new to read.
    fn head(&self) -> u64;

    /// Resolves once the head is beyond `seen`.
    fn beyond(&self, seen: u64) -> BoxFuture<'_, Result<(), BusError>>;
}

/// The last record of a partition, or the last one below an offset.
pub(super) fn tail(
    log: &dyn Log,
    partition: &TopicPartition,
    below: Option<Offset>,
) -> Result<Option<Record>, BusError> {
    let ends = log.ends(partition)?;
    let end = below.map_or(ends.next, |below| below.min(ends.next));
    if end <= ends.earliest {
        return Ok(None);
    }
    let last = Offset::new(end.get() - 1);
    Ok(log.read(partition, last, 1)?.into_iter().next())
}

/// Sends to a log.
pub(super) struct LogProducer(pub(super) Arc<dyn Log>);

impl Producer for LogProducer {
    fn produce(&mut self, records: Vec<(TopicPartition, NewRecord)>) -> BoxFuture<'_, Result<Vec<Offset>, BusError>> {
        self.0.append(records)
    }
}

/// Reads from a log.
pub(super) struct LogConsumer {
    log: Arc<dyn Log>,
    /// `None` for a static assignment.
    member: Option<Member>,
    /// A static assignment that was not told yet.
    untold: Vec<TopicPartition>,
    fetches: BTreeMap<TopicPartition, Fetch>,
    /// The partition that delivered last: the next one goes first, so that none starves.
    last: Option<TopicPartition>,
    records_max: usize,
}

#[derive(Default)]
struct Fetch {
    position: Option<Offset>,
    /// The partition's generation when the position was set.
    generation: Option<u64>,
    paused: bool,
}

impl LogConsumer {
    pub(super) fn new(log: Arc<dyn Log>, groups: &Arc<Groups>, options: ConsumerOptions) -> Result<Self, BusError> {
        let (member, untold) = match options.assignment {
            Assignment::Group => (Some(groups.join(Some(options.group), options.topics)), Vec::new()),
            Assignment::Everything => (Some(groups.join(None, options.topics)), Vec::new()),
            Assignment::Static(partitions) => {
                for partition in &partitions {
                    log.ends(partition)?;
                }
                (None, partitions)
            }
        };
        Ok(Self { log, member, untold, fetches: BTreeMap::new(), last: None, records_max: FETCH_RECORDS_MAX })
    }

    fn told(&mut self) -> Option<BusEvent> {
        if !self.untold.is_empty() {
            let partitions = std::mem::take(&mut self.untold);
            return Some(self.assign(partitions));
        }
        match self.member.as_ref()?.change()? {
            Change::Assigned(partitions) => Some(self.assign(partitions)),
            Change::Revoked(partitions, revocation) => Some(self.revoke(partitions, revocation)),
        }
    }

    fn assign(&mut self, partitions: Vec<TopicPartition>) -> BusEvent {
        self.fetches.extend(partitions.iter().map(|partition| (partition.clone(), Fetch::default())));
        BusEvent::Assigned(partitions)
    }

    fn revoke(&mut self, partitions: Vec<TopicPartition>, revocation: Revocation) -> BusEvent {
        for partition in &partitions {
            self.fetches.remove(partition);
        }
        BusEvent::Revoked(partitions, revocation)
    }

    /// The next records of whichever partition has some, in turn.
    fn fetch(&mut self) -> Result<Option<BusEvent>, BusError> {
        let after = self.fetches.keys().filter(|partition| Some(*partition) > self.last.as_ref());
        let rest = self.fetches.keys().filter(|partition| Some(*partition) <= self.last.as_ref());
        let turn: Vec<TopicPartition> = after.chain(rest).cloned().collect();
        for partition in turn {
            if let Some(records) = self.fetch_one(&partition)? {
                self.last = Some(partition.clone());
                return Ok(Some(BusEvent::Records(partition, records)));
            }
        }
        Ok(None)
    }

    fn fetch_one(&mut self, partition: &TopicPartition) -> Result<Option<Vec<Record>>, BusError> {
        let Some(fetch) = self.fetches.get_mut(partition) else { return Ok(None) };
        let Some(position) = fetch.position.filter(|_| !fetch.paused) else { return Ok(None) };
        let ends = match self.log.ends(partition) {
            Ok(ends) => ends,
            // Deleted: the group says so soon; a static assignment waits for the topic to come back.
            Err(BusError::UnknownTopic(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let same = *fetch.generation.get_or_insert(ends.generation) == ends.generation;
        if !same || position < ends.earliest || position > ends.next {
            fetch.position = None;
            let partition = partition.clone();
            return Err(BusError::OffsetOutOfRange { partition, offset: position, earliest: ends.earliest });
        }
        if position == ends.next {
            return Ok(None);
        }
        let records = self.log.read(partition, position, self.records_max)?;
        let Some(last) = records.last() else { return Ok(None) };
        assert!(records[0].offset == position, "a log reads from where it was asked to");
        fetch.position = Some(last.offset.next());
        Ok(Some(records))
    }

    async fn woken(&self, seen: u64) -> Result<(), BusError> {
        let Some(member) = &self.member else { return self.log.beyond(seen).await };
        tokio::select! {
            biased;
            () = member.changed() => Ok(()),
            woken = self.log.beyond(seen) => woken,
        }
    }

    fn assigned(&mut self, partition: &TopicPartition) -> Result<&mut Fetch, BusError> {
        self.fetches.get_mut(partition).ok_or_else(|| BusError::NotAssigned(partition.clone()))
    }
}

impl Consumer for LogConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<BusEvent, BusError>> {
        Box::pin(async move {
            loop {
                // Read before looking: what arrives in between is beyond it and wakes at once.
                let seen = self.log.head();
                if let Some(event) = self.told() {
                    return Ok(event);
                }
                if let Some(event) = self.fetch()? {
                    return Ok(event);
                }
                self.woken(seen).await?;
            }
        })
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.fetches.get(partition)?.position
    }

    fn seek<'a>(&'a mut self, partition: &'a TopicPartition, offset: Offset) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(async move {
            let generation = self.log.ends(partition).ok().map(|ends| ends.generation);
            let fetch = self.assigned(partition)?;
            (fetch.position, fetch.generation) = (Some(offset), generation);
            Ok(())
        })
    }

    fn earliest<'a>(&'a mut self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<Offset, BusError>> {
        Box::pin(async move { Ok(self.log.ends(partition)?.earliest) })
    }

    fn pause(&mut self, partition: &TopicPartition) {
        if let Some(fetch) = self.fetches.get_mut(partition) {
            fetch.paused = true;
        }
    }

    fn resume(&mut self, partition: &TopicPartition) {
        if let Some(fetch) = self.fetches.get_mut(partition) {
            fetch.paused = false;
        }
    }

    fn fetches_at_most(&mut self, records: usize) {
        self.records_max = records.clamp(1, FETCH_RECORDS_MAX);
    }
}
