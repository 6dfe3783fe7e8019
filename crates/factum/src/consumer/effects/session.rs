//! What one run of the loop of effects works with.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    batch::Batch,
    ledger::{Draft, Ledger},
    worker::{ChainEnd, Worker},
};
use crate::{
    bus::{BusError, BusEvent, Consumer, Record, TopicPartition},
    consumer::{book::Book, catch_up::CatchUp, end::Trouble, standstill::Standstill},
    forks::Desk,
    runtime::{Runtime, finished},
    store::{BoxFuture, EventStore},
};

/// How many keys are worked on at the same time.
const KEYS_AT_ONCE_MAX: usize = 64;
/// The most records of one partition that are planned for at once.
const BATCH_RECORDS_MAX: usize = 500;
/// How many records may be dealt with before progress is written down although there is more to do.
pub(super) const UNSAVED_RECORDS_MAX: u64 = 1_000;
/// The least time from one writing down to the next, as long as little is done: each is a sync, beside those of the
/// store's appends.
const SAVING_REST: Duration = Duration::from_millis(50);

pub(super) type Work = FuturesUnordered<BoxFuture<'static, ChainEnd>>;
/// With whether it was written down.
pub(super) type Saved = Result<(Ledger, bool), Trouble>;
pub(super) type Saving = BoxFuture<'static, (Arc<str>, Saved)>;

/// What one run of the loop works with.
pub(super) struct Session {
    pub(super) book: Book,
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) standstill: Standstill,
    pub(super) catch_up: CatchUp,
    /// One at most for each partition.
    pub(super) batches: HashMap<TopicPartition, Batch>,
    /// What was fetched beyond the batches.
    pub(super) rest: HashMap<TopicPartition, Vec<Record>>,
    /// Partitions with something to begin with, each in turn.
    turns: VecDeque<TopicPartition>,
    pub(super) work: Work,
    worker: Worker,
    pub(super) ledgers: HashMap<Arc<str>, Ledger>,
    /// Topics whose progress is not written down.
    pub(super) unsaved: BTreeSet<Arc<str>>,
    pub(super) unsaved_records: u64,
    pub(super) saving: Option<Saving>,
    /// Until when nothing is written down although nothing else is to be done.
    resting: Option<BoxFuture<'static, ()>>,
}

/// What happens next.
pub(super) enum Next {
    Worked(ChainEnd),
    Saved(Arc<str>, Saved),
    Rested,
    Due,
    /// Something may have been accepted.
    Decided,
    Bus(Result<BusEvent, BusError>),
}

impl Session {
    pub(super) fn new(
        book: Book,
        consumer: Box<dyn Consumer>,
        catch_up: CatchUp,
        worker: Worker,
        ledgers: HashMap<Arc<str>, Ledger>,
    ) -> Self {
        Self {
            book,
            consumer,
            standstill: Standstill::default(),
            catch_up,
            batches: HashMap::new(),
            rest: HashMap::new(),
            turns: VecDeque::new(),
            work: FuturesUnordered::new(),
            worker,
            ledgers,
            unsaved: BTreeSet::new(),
            unsaved_records: 0,
            saving: None,
            resting: None,
        }
    }

    /// Plans for records, and keeps what are too many for one batch.
    pub(super) fn begin_batch(&mut self, partition: &TopicPartition, mut records: Vec<Record>) {
        if records.len() > BATCH_RECORDS_MAX {
            let rest = records.split_off(BATCH_RECORDS_MAX);
            self.rest.insert(partition.clone(), rest);
        }
        self.batches.insert(partition.clone(), Batch::new(&self.book, partition, records));
        self.turns.push_back(partition.clone());
    }

    pub(super) async fn next(&mut self, runtime: &Runtime, forks: &Desk) -> Next {
        let Self { work, saving, resting, standstill, consumer, .. } = self;
        tokio::select! {
            biased;
            Some(end) = work.next() => Next::Worked(end),
            (topic, ledger) = finished(saving) => Next::Saved(topic, ledger),
            () = finished(resting) => Next::Rested,
            () = standstill.due(runtime) => Next::Due,
            () = forks.decided() => Next::Decided,
            event = consumer.next() => Next::Bus(event),
        }
    }

    /// Begins with as many keys as may be worked on at once, from each partition in turn.
    pub(super) fn begin_work(&mut self) {
        while self.work.len() < KEYS_AT_ONCE_MAX {
            let Some(partition) = self.turns.pop_front() else { return };
            let Some(chain) = self.batches.get_mut(&partition).and_then(Batch::begin) else { continue };
            self.work.push(Box::pin(self.worker.clone().work(chain)));
            self.turns.push_back(partition);
        }
    }

    /// Progress was written down: as long as little is done, it is not again for a while.
    pub(super) fn saved(&mut self, topic: Arc<str>, (ledger, written): (Ledger, bool)) {
        if !written {
            self.unsaved.insert(topic.clone());
        }
        self.ledgers.insert(topic, ledger);
        self.resting = Some(self.worker.runtime.sleep(SAVING_REST));
    }

    /// Writes progress down when nothing else is to do, or after enough records.
    pub(super) fn begin_saving(&mut self, store: &Arc<dyn EventStore>) {
        let idle = self.work.is_empty() && self.resting.is_none();
        if self.saving.is_some() || !(idle || self.unsaved_records >= UNSAVED_RECORDS_MAX) {
            return;
        }
        let Some(topic) = self.unsaved.pop_first() else { return };
        if self.unsaved.is_empty() {
            self.unsaved_records = 0;
        }
        let Some(ledger) = self.ledgers.remove(&topic) else { return };
        let mut draft = Draft::of(&self.book, &topic);
        if let Some(shelf) = self.worker.shelf.as_ref().filter(|shelf| !ledger.is_recorded() && !shelf.is_empty()) {
            draft = draft.parking(shelf, &topic);
        }
        let (store, runtime) = (Arc::clone(store), self.worker.runtime.clone());
        self.saving = Some(Box::pin(async move { (topic, ledger.save(store, draft, &runtime).await) }));
    }

    /// Lets every partition that stands still try again.
    pub(super) fn resume_all(&mut self) {
        for partition in self.standstill.take_all() {
            self.consumer.resume(&partition);
        }
    }

    /// Lets partitions that stood still long enough try again.
    pub(super) fn resume_due(&mut self, runtime: &Runtime) {
        for partition in self.standstill.take_due(runtime.now()) {
            self.consumer.resume(&partition);
        }
    }
}
