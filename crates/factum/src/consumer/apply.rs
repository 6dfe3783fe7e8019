//! Records of one partition, applied: one transaction for effects, watermark and offset.

use super::{
    book::Gap,
    end::{PartitionStop, Trouble},
    plan::{Plan, PlanEnd},
    run::{ProjectionConsumer, Session},
};
use crate::{
    bus::{Offset, Record, TopicPartition},
    model::RawEvent,
    projections::ApplyError,
    read::{CheckpointMove, Epoch, ReadError},
    runtime::LoopState,
};

/// What became of a plan.
enum Written {
    All,
    /// The message of this record cannot be applied; nothing was written.
    Refused(usize, PartitionStop),
}

impl ProjectionConsumer {
    /// Applies records of one partition; false when the partition goes on elsewhere or stands still.
    pub(super) async fn apply(
        &self,
        partition: &TopicPartition,
        records: &[Record],
        session: &mut Session,
    ) -> Result<bool, Trouble> {
        let mut records = records;
        let mut end = PlanEnd::Done;
        while !records.is_empty() {
            let mut plan = Plan::new(&session.book, partition, records);
            plan.histories.drain(..).for_each(|(store, history)| self.learned(store, history));
            plan.moves.extend(session.book.refill_move(session.catch_up.is_refilling()));
            match self.write(plan, session.epoch).await? {
                (plan, Written::All) => {
                    self.written(partition, &plan, session);
                    if matches!(end, PlanEnd::Done) {
                        end = plan.end;
                    }
                    break;
                }
                // What comes before it can be applied: written without it, then the partition stops there.
                (_, Written::Refused(index, stop)) => {
                    end = PlanEnd::Stop(records[index].offset, stop);
                    records = &records[..index];
                }
            }
        }
        match end {
            PlanEnd::Done => return Ok(true),
            PlanEnd::Reread(gap) => self.reread(partition, &gap, session).await?,
            PlanEnd::Stop(offset, stop) => self.stand_still(partition, offset, &stop, session).await?,
        }
        Ok(false)
    }

    /// Effects and checkpoints in one transaction, on a thread of their own.
    async fn write(&self, plan: Plan, epoch: Epoch) -> Result<(Plan, Written), Trouble> {
        if plan.moves.is_empty() {
            return Ok((plan, Written::All));
        }
        let (key, read_store, projection) = (self.projection.key(), self.read_store.clone(), self.projection.clone());
        let work = move || {
            let mut refused = None;
            let written = read_store.write(key, epoch, &plan.moves, &mut |tx| {
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
            (plan, written, refused)
        };
        match self.runtime.blocking(work).await? {
            (plan, Ok(()), _) => Ok((plan, Written::All)),
            (_, Err(_), Some((_, _, _, ApplyError::Read(error)))) if error.is_the_stores() => Err(error.into()),
            (plan, Err(_), Some((index, position, name, source))) => {
                Ok((plan, Written::Refused(index, PartitionStop::Apply { position, name, source })))
            }
            (_, Err(error), None) => Err(error.into()),
        }
    }

    /// After the commit: what was written is known to the book, to waiting queries and to whoever looks.
    fn written(&self, partition: &TopicPartition, plan: &Plan, session: &mut Session) {
        session.book.written(&plan.moves);
        let moved = plan.moves.iter().map(|CheckpointMove { lane, next, .. }| (lane.clone(), *next));
        self.watermarks.moved(self.projection.key(), moved);
        session.catch_up.reached(partition, plan.resume);
        let over = !plan.moves.is_empty() && session.standstill.forget(partition);
        for gap in &plan.gaps {
            self.report_gap(partition, gap);
        }
        self.status.update(|report| {
            report.processed += plan.messages.len() as u64;
            report.dropped += plan.repeated;
            report.last_error = None;
            if let Some((_, last)) = plan.messages.last() {
                report.position = last.position;
                report.target = report.target.max(last.position);
            }
            if over {
                report.alarms.remove(&partition.to_string());
            }
            for step in &plan.moves {
                report.alarms.remove(step.lane.as_str());
            }
        });
        self.show_progress(session);
    }

    pub(super) fn show_progress(&self, session: &Session) {
        self.watermarks.set_phase(self.projection.key(), session.catch_up.phase());
        let caught_up = session.catch_up.is_done();
        self.status.update(|report| {
            report.state = if caught_up { LoopState::Live } else { LoopState::CatchingUp };
            // Partitions end at different positions: with nothing known to be missing on any, nothing lags.
            if caught_up && report.alarms.is_empty() {
                report.position = report.target;
            }
        });
    }

    /// Reads a partition again from its beginning: what is missing may have arrived out of order.
    async fn reread(&self, partition: &TopicPartition, gap: &Gap, session: &mut Session) -> Result<(), Trouble> {
        let (watermark, previous) = (gap.watermark, gap.previous);
        tracing::warn!(consumer = self.status.name(), %partition, %watermark, %previous, "gap: reading again");
        session.book.note_reread(gap);
        let earliest = session.consumer.earliest(partition).await?;
        Ok(session.consumer.seek(partition, earliest).await?)
    }

    fn report_gap(&self, partition: &TopicPartition, gap: &Gap) {
        let text = format!(
            "messages of store {} above position {} and up to {} are missing on {partition}: \
             let its relay publish again from position {}",
            gap.source.store, gap.watermark, gap.previous, gap.watermark
        );
        self.alarm(gap.lane.as_str(), text);
    }

    /// Lets a partition stand still at a record, until it is tried again.
    async fn stand_still(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        stop: &PartitionStop,
        session: &mut Session,
    ) -> Result<(), Trouble> {
        let text = format!("{partition} stands still at offset {offset}: {stop}");
        self.status.update(|report| report.last_error = Some(text.clone()));
        self.alarm(&partition.to_string(), text);
        session.consumer.pause(partition);
        session.consumer.seek(partition, offset).await?;
        session.standstill.stop(partition, &self.runtime);
        Ok(())
    }

    fn alarm(&self, about: &str, text: String) {
        self.status.update(|report| {
            if report.alarms.get(about) != Some(&text) {
                tracing::error!(consumer = self.status.name(), about, text, "alarm");
                report.alarms.insert(about.to_owned(), text);
            }
        });
    }
}
