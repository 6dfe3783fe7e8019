//! One transaction's worth of records: which messages it applies, how far it gets, and why it ends there.

use super::{
    book::{Book, Draft, Gap, Verdict},
    end::PartitionStop,
};
use crate::{
    bus::{Envelope, Offset, Record, TopicPartition},
    model::{Source, StoreId},
    read::CheckpointMove,
    store::History,
};

/// What one transaction does.
pub(super) struct Plan {
    /// The messages to apply, each with the index of its record.
    pub(super) messages: Vec<(usize, Envelope)>,
    pub(super) moves: Vec<CheckpointMove>,
    /// Where reading goes on.
    pub(super) resume: Offset,
    /// Re-sends dropped.
    pub(super) repeated: u64,
    /// Gaps that stayed although the partition was read again: their records are discarded.
    pub(super) gaps: Vec<Gap>,
    /// The histories seen, each once in a row; a store that was never restored has none to tell of.
    pub(super) histories: Vec<(StoreId, History)>,
    pub(super) end: PlanEnd,
}

/// Why a plan ends where it does.
pub(super) enum PlanEnd {
    /// All records are dealt with.
    Done,
    /// A gap is seen for the first time: the partition is read again from its beginning.
    Reread(Gap),
    /// This record stops the partition.
    Stop(Offset, PartitionStop),
}

impl Plan {
    /// Plans for records of one partition, in order; there is at least one.
    pub(super) fn new(book: &Book, partition: &TopicPartition, records: &[Record]) -> Self {
        let mut draft = Draft::default();
        let mut plan = Self {
            messages: Vec::new(),
            moves: Vec::new(),
            resume: records[0].offset,
            repeated: 0,
            gaps: Vec::new(),
            histories: Vec::new(),
            end: PlanEnd::Done,
        };
        for (index, record) in records.iter().enumerate() {
            if let Some(end) = plan.take(book, &mut draft, partition, index, record) {
                plan.end = end;
                break;
            }
            plan.resume = record.offset.next();
        }
        plan.moves = book.moves(draft, partition, plan.resume);
        plan
    }

    /// Takes in one record, unless the plan ends before it.
    fn take(
        &mut self,
        book: &Book,
        draft: &mut Draft,
        partition: &TopicPartition,
        index: usize,
        record: &Record,
    ) -> Option<PlanEnd> {
        let message = match Envelope::decode(&record.headers, &record.value) {
            Ok(message) => message,
            Err(error) => return Some(PlanEnd::Stop(record.offset, error.into())),
        };
        let Source { store, incarnation } = message.origin.source;
        let told = self.histories.last().is_some_and(|(_, last)| last.incarnation == incarnation);
        if !message.lineage.is_empty() && !told {
            self.histories.push((store, message.history()));
        }
        match book.judge(draft, partition, &message) {
            Verdict::Apply => self.messages.push((index, message)),
            Verdict::Repeat => self.repeated += 1,
            Verdict::Gap(gap) if book.was_reread(&gap) => self.gaps.push(gap),
            Verdict::Gap(gap) => return Some(PlanEnd::Reread(gap)),
            Verdict::Stop(stop) => return Some(PlanEnd::Stop(record.offset, stop)),
        }
        None
    }
}
