//! Records of one partition, applied: one transaction for effects, watermark and offset.

use std::{ops::Range, sync::Arc};

use super::{
    book::{Book, Gap},
    end::{PartitionStop, Trouble},
    plan::{Plan, PlanEnd, Unreadable},
    records::Records,
    run::{ProjectionConsumer, Session},
    show,
};
use crate::{
    bus::{Offset, TopicPartition},
    model::RawEvent,
    projections::{AnyProjection, ApplyError},
    read::{CheckpointMove, Epoch, ReadError, ReadStore},
};

/// What became of a plan.
enum Written {
    All,
    /// The message of this record cannot be applied; nothing was written.
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
        let Range { start, mut end } = range;
        let mut plan_end = PlanEnd::Done;
        while start < end {
            match self.write(partition, records, start..end, session).await? {
                (plan, Written::All) => {
                    self.written(partition, &plan, session);
                    if matches!(plan_end, PlanEnd::Done) {
                        plan_end = plan.end;
                    }
                    break;
                }
                // What comes before it can be applied: written without it, then the partition stops there.
                (_, Written::Refused(index, stop)) => {
                    end = start + index;
                    plan_end = PlanEnd::Stop(records[end].offset, stop);
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
        session: &mut Session,
    ) -> Result<(Plan, Written), Trouble> {
        // Given back below; where it is not, the session ends.
        let book = std::mem::take(&mut session.book);
        let (read_store, projection) = (Arc::clone(&self.read_store), Arc::clone(&self.projection));
        let (partition, records) = (partition.clone(), Arc::clone(records));
        let (epoch, refilling) = (session.epoch, session.catch_up.is_refilling());
        let work = move || {
            let mut plan = Plan::new(&book, &partition, records.messages(range), Unreadable::Stop);
            plan.moves.extend(book.refill_move(refilling));
            let written = write(&plan, read_store.as_ref(), projection.as_ref().as_ref(), epoch);
            (book, plan, written)
        };
        let (book, mut plan, written): (Book, Plan, _) =
            session.beside(&self.runtime, self.runtime.blocking(work)).await?;
        session.book = book;
        plan.histories.drain(..).for_each(|(store, history)| self.learned(store, history));
        Ok((plan, written?))
    }

    /// After the commit: what was written is known to the book, to waiting queries and to whoever looks.
    fn written(&self, partition: &TopicPartition, plan: &Plan, session: &mut Session) {
        session.book.written(&plan.moves);
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
        show::stands_still(&self.status, partition, offset, stop);
        session.consumer.pause(partition);
        session.consumer.seek(partition, offset).await?;
        session.standstill.stop(partition, &self.runtime);
        Ok(())
    }
}

/// Effects and checkpoints of a plan, in one transaction.
fn write(
    plan: &Plan,
    read_store: &dyn ReadStore,
    projection: &dyn AnyProjection,
    epoch: Epoch,
) -> Result<Written, ReadError> {
    if plan.moves.is_empty() {
        return Ok(Written::All);
    }
    let mut refused = None;
    let written = read_store.write(projection.key(), epoch, &plan.moves, &mut |tx| {
        refused = None;
        for (index, message) in &plan.messages {
            let raw = RawEvent { name: &message.name, schema: 1, data: &message.data };
            if let Err(source) = projection.apply(raw, &message.delivery(), tx) {
                refused = Some((*index, message.position, message.name.clone(), source));
                return Err(ReadError::Broken("rolled back".to_owned()));
            }
        }
        Ok(())
    });
    match (written, refused) {
        (Ok(()), _) => Ok(Written::All),
        (Err(_), Some((_, _, _, ApplyError::Read(error)))) if error.is_the_stores() => Err(error),
        (Err(_), Some((index, position, name, source))) => {
            Ok(Written::Refused(index, PartitionStop::Apply { position, name, source }))
        }
        (Err(error), None) => Err(error),
    }
}
