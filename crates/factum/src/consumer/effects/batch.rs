//! Records of one partition on their way: what is taken in under which key.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    bus::{Envelope, EnvelopeError, Record, TopicPartition},
    consumer::{
        book::Book,
        end::PartitionStop,
        plan::{Plan, PlanEnd, Unreadable},
        records::{Message, read},
    },
    store::Position,
};

/// Records of one partition, planned, and not all dealt with.
pub(super) struct Batch {
    records: Arc<[Record]>,
    plan: Plan,
    /// What nobody has begun yet, by key, in the order of their first records.
    waiting: VecDeque<Chain>,
    /// How many keys are being worked on.
    working: usize,
    /// The first record that failed for good.
    failed: Option<(usize, PartitionStop)>,
    tally: Tally,
}

/// How much was taken in.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) records: u64,
    /// The position of the last message, if there was one.
    pub(super) last: Option<Position>,
}

/// What became of a batch.
pub(super) struct Outcome {
    /// What was done, in order and without a hole, if anything was. What was done beyond a failure will be done again.
    pub(super) plan: Option<Plan>,
    pub(super) tally: Tally,
    pub(super) end: PlanEnd,
}

/// What came under one key, in order.
pub(super) struct Chain {
    pub(super) partition: TopicPartition,
    pub(super) records: Arc<[Record]>,
    pub(super) items: Vec<Item>,
}

/// One record to be taken in.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are messages")]
pub(super) enum Item {
    Message(usize, Envelope),
    Unreadable(usize, EnvelopeError),
}

impl Batch {
    /// Plans for records of one partition; there is at least one.
    pub(super) fn new(book: &Book, partition: &TopicPartition, records: Vec<Record>) -> Self {
        let records: Arc<[Record]> = records.into();
        let mut plan = Plan::new(book, partition, messages(&records), Unreadable::Take);
        let tally = Tally::of(&plan);
        let messages =
            std::mem::take(&mut plan.messages).into_iter().map(|(index, message)| Item::Message(index, message));
        let unreadable = std::mem::take(&mut plan.unreadable);
        let mut items: Vec<Item> =
            messages.chain(unreadable.into_iter().map(|(index, error)| Item::Unreadable(index, error))).collect();
        items.sort_by_key(Item::index);
        let mut waiting: VecDeque<Chain> = VecDeque::new();
        let mut places: HashMap<Bytes, usize> = HashMap::new();
        for item in items {
            let place = *places.entry(records[item.index()].key.clone()).or_insert(waiting.len());
            if place == waiting.len() {
                let (partition, records) = (partition.clone(), Arc::clone(&records));
                waiting.push_back(Chain { partition, records, items: Vec::new() });
            }
            waiting[place].items.push(item);
        }
        Self { records, plan, waiting, working: 0, failed: None, tally }
    }

    /// Something to begin with. After a failure only what began before it: progress goes as far as the failure, and
    /// must not pass over what nobody has taken in.
    pub(super) fn begin(&mut self) -> Option<Chain> {
        let chain = self.waiting.pop_front_if(|chain| comes_before(chain, self.failed.as_ref()))?;
        self.working += 1;
        Some(chain)
    }

    /// Work on a key has ended, with the record that failed for good, if one did.
    pub(super) fn ended(&mut self, failed: Option<(usize, PartitionStop)>) {
        self.working -= 1;
        let earlier = |(index, _): &(usize, PartitionStop)| self.failed.as_ref().is_none_or(|(known, _)| index < known);
        if failed.as_ref().is_some_and(earlier) {
            self.failed = failed;
        }
    }

    pub(super) fn is_done(&self) -> bool {
        // In the order of their first records: when the first one may not begin, none may.
        self.working == 0 && !self.waiting.front().is_some_and(|chain| comes_before(chain, self.failed.as_ref()))
    }

    pub(super) fn outcome(self, book: &Book, partition: &TopicPartition) -> Outcome {
        let Self { records, mut plan, failed, tally, .. } = self;
        let Some((index, stop)) = failed else {
            let end = std::mem::replace(&mut plan.end, PlanEnd::Done);
            return Outcome { plan: Some(plan), tally, end };
        };
        let end = PlanEnd::Stop(records[index].offset, stop);
        let done = &records[..index];
        let plan = (!done.is_empty()).then(|| Plan::new(book, partition, messages(done), Unreadable::Take));
        let tally = plan.as_ref().map_or_else(Tally::default, Tally::of);
        Outcome { plan, tally, end }
    }
}

/// Whether something of it comes before the record that failed.
fn comes_before(chain: &Chain, failed: Option<&(usize, PartitionStop)>) -> bool {
    failed.is_none_or(|(index, _)| chain.items.first().is_some_and(|item| item.index() < *index))
}

fn messages(records: &[Record]) -> impl Iterator<Item = (&Record, Message)> {
    records.iter().map(|record| (record, read(record)))
}

impl Tally {
    fn of(plan: &Plan) -> Self {
        let records = plan.messages.len() + plan.unreadable.len();
        Self { records: records as u64, last: plan.messages.last().map(|(_, message)| message.position) }
    }
}

impl Item {
    pub(super) const fn index(&self) -> usize {
        match self {
            Self::Message(index, _) | Self::Unreadable(index, _) => *index,
        }
    }
}
