//! Records of one partition, applied: one transaction for effects, watermark and offset.

use std::{ops::Range, sync::Arc};

use super::{
    book::{Book, Gap},
    end::{PartitionStop, Trouble},
    plan::{Plan, PlanEnd, Unreadable},
    records::Records,
    run::{ProjectionConsumer, Session},
    show, start,
};
use crate::{
    bus::{Offset, TopicPartition},
    quarantine::{Changes, Draft, Fold, FoldError, Incoming, Shelf},
    read::{CheckpointMove, Epoch, ReadError, ReadStore},
};

/// What became of a plan.
enum Written {
    /// All of it was written; this is what was parked of it.
    All(Changes),
    /// The message of this record failed for good; nothing was written.
    Failed(usize, String),
    /// The message of this record can be neither applied nor parked; nothing was written.
    Refused(usize, PartitionStop),
}

impl ProjectionConsumer {
    /// Applies some of the records of one partition; false when the partition goes on elsewhere, stands still or is
    /// given up.
    pub(super) async fn apply(
        &self,
        partition: &TopicPartition,
        records: &Arc<Records>,
        range: Range<usize>,
        session: &mut Session,
    ) -> Result<bool, Trouble> {
        let Range { mut start, end: mut last } = range;
        let (mut end, mut plan_end) = (last, PlanEnd::Done);
        // Why the first message from `start` on, or from `end` on, is to be parked.
        let (mut failed, mut fails_next) = (None, None);
        while start < last {
            match self.write(partition, records, start..end, failed.as_deref(), session).await? {
                (plan, Written::All(changes)) => {
                    self.written(partition, &plan, changes, session);
                    if !matches!(plan.end, PlanEnd::Done) {
                        plan_end = plan.end;
                        break;
                    }
                    // Of a partition that is to be given up, no more than the transaction at hand.
                    if session.consumer.gives_up(partition) {
                        break;
                    }
                    (start, end, failed) = (end, last, fails_next.take());
                }
                (_, Written::Failed(0, reason)) => (end, failed, fails_next) = (last, Some(reason), None),
                // What comes before it can be applied: written without it, then it is parked.
                (_, Written::Failed(index, reason)) => (end, fails_next) = (start + index, Some(reason)),
                // The same, then the partition stops there.
                (_, Written::Refused(index, stop)) => {
                    last = start + index;
                    (end, fails_next) = (last, None);
                    plan_end = PlanEnd::Stop(records[last].offset, stop);
                }
            }
        }
        if session.consumer.gives_up(partition) {
            return Ok(false);
        }
        match plan_end {
            PlanEnd::Done => return Ok(true),
            PlanEnd::Reread(gap) => self.reread(partition, &gap, session).await?,
            PlanEnd::Stop(offset, stop) => self.stand_still(partition, offset, &stop, session).await?,
        }
        Ok(false)
    }

    /// Reads records as messages, and writes effects and checkpoints in one transaction: on a thread where that stops
    /// nobody else.
    async fn write(
        &self,
        partition: &TopicPartition,
        records: &Arc<Records>,
        range: Range<usize>,
        failed: Option<&str>,
        session: &mut Session,
    ) -> Result<(Plan, Written), Trouble> {
        let held = self.desk.hold().await?;
        // Given back below; where it is not, the session ends.
        let book = std::mem::take(&mut session.book);
        let mut shelf = session.parking.take_shelf();
        let (failed, now) = (failed.map(str::to_owned), self.runtime.now());
        let (read_store, projection) = (Arc::clone(&self.read_store), Arc::clone(&self.projection));
        let (place, records) = (partition.clone(), Arc::clone(records));
        let (epoch, refilling) = (session.epoch, session.catch_up.is_refilling());
        let work = move || {
            let mut plan = Plan::new(&book, &place, records.messages(range), Unreadable::Stop);
            plan.moves.extend(book.refill_move(refilling));
            let projection = projection.as_ref().as_ref();
            let fold = Fold { projection, shelf: &shelf, discards: &held.discards, now };
            let written = write(&plan, &fold, (&place, failed.as_deref()), read_store.as_ref(), epoch);
            let written = written.map(|written| match written {
                Ok(draft) => Written::All(shelf.committed(draft)),
                Err(refused) => refused,
            });
            drop(held);
            (book, shelf, plan, written)
        };
        let (book, shelf, mut plan, written): (Book, Shelf, Plan, _) =
            session.beside(&self.runtime, self.runtime.blocking(work)).await?;
        (session.book, session.parking.shelf) = (book, shelf);
        for (store, history) in plan.histories.drain(..) {
            session.book.learn(partition, store, history.clone());
            self.learned(store, history);
        }
        Ok((plan, written?))
    }

    /// After the commit: what was written is known to the book, to waiting queries and to whoever looks.
    fn written(&self, partition: &TopicPartition, plan: &Plan, changes: Changes, session: &mut Session) {
        session.book.written(&plan.moves);
        session.book.note_holes(&plan.gaps, &plan.filled);
        session.parking.show(changes, &self.parts());
        let moved = plan.moves.iter().map(|CheckpointMove { lane, next, .. }| (lane.clone(), *next));
        self.watermarks.moved(self.projection.key(), moved);
        session.catch_up.reached(partition, plan.resume);
        let over = !plan.moves.is_empty() && session.standstill.forget(partition);
        let last = plan.messages.last().map(|(_, message)| message.position);
        show::done(&self.status, partition, plan, (plan.messages.len() as u64, last), over);
        self.show_progress(session);
    }

    pub(super) fn show_progress(&self, session: &Session) {
        self.watermarks.set_phase(self.projection.key(), session.catch_up.phase());
        show::progress(&self.status, session.catch_up.is_done());
    }

    /// Reads a partition again from its beginning: what is missing may have arrived out of order.
    async fn reread(&self, partition: &TopicPartition, gap: &Gap, session: &mut Session) -> Result<(), Trouble> {
        let (watermark, previous) = (gap.watermark, gap.previous);
        tracing::warn!(consumer = self.status.name(), %partition, %watermark, %previous, "gap: reading again");
        session.book.note_reread(gap);
        let earliest = session.consumer.earliest(partition).await?;
        Ok(session.consumer.seek(partition, earliest).await?)
    }

    /// Lets a partition stand still at a record, until it is tried again.
    async fn stand_still(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        stop: &PartitionStop,
        session: &mut Session,
    ) -> Result<(), Trouble> {
        if start::learns_where_it_went(self.bus.as_ref(), &mut session.book, partition, stop).await? {
            return Ok(session.consumer.seek(partition, offset).await?);
        }
        show::stands_still(&self.status, partition, offset, stop, "rebuild this projection");
        session.consumer.pause(partition);
        session.consumer.seek(partition, offset).await?;
        session.standstill.stop(partition, &self.runtime);
        Ok(())
    }
}

/// Effects and checkpoints of a plan, in one transaction; with what it parks, or why nothing was written. Its first
/// record's message is parked at once if it failed before.
fn write(
    plan: &Plan,
    fold: &Fold<'_>,
    (partition, failed): (&TopicPartition, Option<&str>),
    read_store: &dyn ReadStore,
    epoch: Epoch,
) -> Result<Result<Draft, Written>, ReadError> {
    if plan.moves.is_empty() {
        return Ok(Ok(Draft::default()));
    }
    let messages = plan.messages.iter().map(|(_, message)| Incoming::message(message, partition));
    let failed = failed.filter(|_| plan.messages.first().is_some_and(|(record, _)| *record == 0));
    let written = fold.write((epoch, &plan.moves), messages, failed, read_store)?;
    Ok(written.map_err(|(index, error)| {
        let (record, message) = &plan.messages[index];
        match error {
            FoldError::Full(reason) => Written::Refused(*record, PartitionStop::quarantine(message, reason)),
            other => Written::Failed(*record, other.to_string()),
        }
    }))
}
