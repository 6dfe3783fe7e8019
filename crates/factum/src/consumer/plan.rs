//! One transaction's worth of records: which messages it applies, how far it gets, and why it ends there.

use super::{
    book::{Book, Draft, Gap, Verdict},
    end::PartitionStop,
    records::Message,
};
use crate::{
    bus::{Envelope, EnvelopeError, Offset, Record, Remains, TopicPartition},
    model::{Source, StoreId},
    read::{CheckpointMove, Lane},
    store::History,
};

/// What one transaction does.
pub(super) struct Plan {
    /// The messages to apply, each with the index of its record.
    pub(super) messages: Vec<(usize, Envelope)>,
    /// The records that are no message but to be dealt with all the same, each with its index.
    pub(super) unreadable: Vec<(usize, EnvelopeError)>,
    pub(super) moves: Vec<CheckpointMove>,
    /// Where reading goes on.
    pub(super) resume: Offset,
    /// Re-sends dropped.
    pub(super) repeated: u64,
    /// Gaps that stayed although the partition was read again: their records are discarded.
    pub(super) gaps: Vec<Gap>,
    /// Lanes of which nothing is missing any more.
    pub(super) filled: Vec<Lane>,
    /// The histories seen, each once in a row; a store that was never restored has none to tell of.
    pub(super) histories: Vec<(StoreId, History)>,
    pub(super) end: PlanEnd,
}

/// What is done with a record that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The partition stands still before it.
    Stop,
    /// It is dealt with like a message.
    Take,
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
    /// Plans for records of one partition, in order, each with what it was read as; there is at least one.
    pub(super) fn new<'a>(
        book: &Book,
        partition: &TopicPartition,
        records: impl Iterator<Item = (&'a Record, Message)>,
        unreadable: Unreadable,
    ) -> Self {
        let mut draft = Draft::default();
        let mut plan = Self {
            messages: Vec::new(),
            unreadable: Vec::new(),
            moves: Vec::new(),
            resume: Offset::new(0),
            repeated: 0,
            gaps: Vec::new(),
            filled: Vec::new(),
            histories: Vec::new(),
            end: PlanEnd::Done,
        };
        for (index, (record, message)) in records.enumerate() {
            if index == 0 {
                plan.resume = record.offset;
            }
            if let Some(end) = plan.take(book, &mut draft, partition, (index, record, message), unreadable) {
                plan.end = end;
                break;
            }
            plan.resume = record.offset.next();
        }
        plan.moves = book.moves(draft, partition, plan.resume);
        plan.filled = book.filled(&plan.moves, &plan.histories);
        plan
    }

    /// Takes in one record, unless the plan ends before it.
    fn take(
        &mut self,
        book: &Book,
        draft: &mut Draft,
        partition: &TopicPartition,
        (index, record, message): (usize, &Record, Message),
        unreadable: Unreadable,
    ) -> Option<PlanEnd> {
        let message = match message {
            Ok(message) => message,
            Err(error) if unreadable == Unreadable::Stop => return Some(PlanEnd::Stop(record.offset, error.into())),
            Err(error) => {
                let remains = Remains::of(&record.headers, &record.value);
                let Some(mark) = remains.mark() else {
                    // Without a place it fills no hole; whoever takes it must bear to be given it again.
                    self.unreadable.push((index, error));
                    return None;
                };
                match book.judge(draft, partition, mark) {
                    Verdict::Apply => self.unreadable.push((index, error)),
                    other => return self.pass_over(book, record.offset, other),
                }
                return None;
            }
        };
        let Source { store, incarnation } = message.origin.source;
        let told = self.histories.last().is_some_and(|(_, last)| last.incarnation == incarnation);
        if !message.lineage.is_empty() && !told {
            self.histories.push((store, message.history()));
        }
        match book.judge(draft, partition, message.mark()) {
            // It has moved the watermark, which is all that it is for.
            Verdict::Apply | Verdict::Repeat if message.says_history_left() => {}
            Verdict::Apply => self.messages.push((index, message)),
            other => return self.pass_over(book, record.offset, other),
        }
        None
    }

    /// What does not come next on its lane.
    fn pass_over(&mut self, book: &Book, offset: Offset, verdict: Verdict) -> Option<PlanEnd> {
        match verdict {
            Verdict::Apply => {}
            Verdict::Repeat => self.repeated += 1,
            Verdict::Gap(gap) if book.was_reread(&gap) => self.gaps.push(gap),
            Verdict::Gap(gap) => return Some(PlanEnd::Reread(gap)),
            Verdict::Stop(stop) => return Some(PlanEnd::Stop(offset, stop)),
        }
        None
    }
}
