//! Where a consumer begins.

use std::sync::Arc;

use super::{
    book::Book,
    end::{ConsumerEnd, PartitionStop, Trouble},
};
use crate::{
    bus::{Bus, BusError, Envelope, LastMessage, NO_MESSAGES_MAX, Offset, TopicPartition, last_message},
    read::{Checkpoint, Lane},
    runtime::Status,
    store::{Position, ProgressError},
};

/// How many records are looked at for one that tells where a history came from.
const LINEAGE_LOOKS_MAX: usize = 1_000;

/// Whether the bus has any of these topics yet.
pub(super) async fn any_topic(bus: &dyn Bus, topics: &[Arc<str>], status: &Status) -> Result<bool, BusError> {
    let mut any = false;
    for topic in topics {
        match bus.partitions(topic).await {
            Ok(_) => any = true,
            // Its publisher may not have started yet; a misspelt name looks the same, so it is said.
            Err(BusError::UnknownTopic(_)) => {
                tracing::warn!(consumer = status.name(), %topic, "the bus has no such topic yet: waiting for it");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(any)
}

/// What a consumer has that was there for all that was published on a topic so far. A topic that the bus does not have yet
/// has nothing on it.
pub(super) async fn ends(bus: &dyn Bus, topic: &str) -> Result<Vec<(Lane, Checkpoint)>, Trouble> {
    let partitions = match bus.partitions(topic).await {
        Err(BusError::UnknownTopic(_)) => 0,
        found => found?,
    };
    let mut ends = Vec::new();
    for partition in 0..partitions {
        let place = TopicPartition::new(topic, partition);
        let LastMessage { tail: Some(tail), message, .. } =
            last_message(bus, &place, NO_MESSAGES_MAX, |_, _| {}).await?
        else {
            continue;
        };
        let last = message.ok_or_else(|| {
            // Without its position, what comes next would look like the end of a gap, and everything be read again.
            ConsumerEnd::Progress(ProgressError::Refused(format!("no message is among the last records on {place}")))
        })?;
        let source = last.origin.source;
        let (incarnation, event_id) = (source.incarnation, last.mark().id);
        ends.push((
            Lane::topic(&source, topic, partition),
            Checkpoint { position: last.position, incarnation, event_id },
        ));
        let next = Position::new(tail.next().get());
        ends.push((Lane::offset(topic, partition), Checkpoint::of_no_history(next)));
    }
    Ok(ends)
}

/// Looks on a partition, from its end backwards, for a message that tells whether the history that was found is one that
/// the applied one came out of. True: it is known by now, and what stands still goes on.
pub(super) async fn learns_where_it_went(
    bus: &dyn Bus,
    book: &mut Book,
    partition: &TopicPartition,
    stop: &PartitionStop,
) -> Result<bool, BusError> {
    let &PartitionStop::ForeignHistory { found, applied } = stop else { return Ok(false) };
    let mut below = None;
    for _ in 0..LINEAGE_LOOKS_MAX {
        let Some(record) = bus.tail(partition, below).await? else { break };
        below = Some(record.offset);
        let Ok(message) = Envelope::decode(&record.headers, &record.value) else { continue };
        let history = message.history();
        if message.origin.source.store == found.store && history.line().any(|known| known.incarnation == applied) {
            book.learn(partition, found.store, history);
            return Ok(book.goes_on_in(partition, found, applied));
        }
    }
    Ok(false)
}

/// What is on a partition that a consumer is about to read.
pub(super) struct Beginning {
    /// The last message.
    pub(super) last: Option<Envelope>,
    /// The offset of the last record.
    pub(super) tail: Option<Offset>,
    /// Other records stand there than the ones read, or will: the partition ends before the offset, or everything
    /// before it was read although the last message was never applied, or never heard of in its history. It is to be
    /// read from its beginning.
    pub(super) anew: bool,
}

/// Looks at a partition that is to be read from an offset on; the consumer is there already, so that it notices what is
/// lost from now on.
pub(super) async fn look(
    bus: &dyn Bus,
    book: &mut Book,
    partition: &TopicPartition,
    at: Offset,
) -> Result<Beginning, BusError> {
    let LastMessage { tail, message: last, .. } = last_message(bus, partition, NO_MESSAGES_MAX, |_, _| {}).await?;
    let end = tail.map_or(Offset::new(0), Offset::next);
    // What was lost is about to be sent again: once it has grown back to the offset, nothing would tell.
    let mut anew = end < at;
    if let Some(last) = &last {
        book.learn(partition, last.origin.source.store, last.history());
        anew |= end <= at && book.lacks(partition, last.mark());
    }
    Ok(Beginning { last, tail, anew })
}
