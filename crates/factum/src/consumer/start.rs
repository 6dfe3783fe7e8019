//! Where a consumer begins.

use std::sync::Arc;

use super::{book::Book, catch_up::CatchUp, end::Trouble};
use crate::{
    bus::{Bus, BusError, Consumer, Envelope, Offset, TopicPartition},
    runtime::Status,
};

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

/// A partition begins at an offset, or at its beginning when everything before the offset was read although the
/// last message was never applied: then other records stand there than the ones read. What is there now is to be
/// caught up with. Returns the last message.
pub(super) async fn begin(
    bus: &dyn Bus,
    consumer: &mut dyn Consumer,
    (book, catch_up): (&mut Book, &mut CatchUp),
    partition: &TopicPartition,
    at: Offset,
) -> Result<Option<Envelope>, Trouble> {
    catch_up.give_up(partition);
    let mut at = at;
    let tail = bus.tail(partition, None).await?;
    let last = tail.as_ref().and_then(|tail| Envelope::decode(&tail.headers, &tail.value).ok());
    if let Some(last) = &last {
        book.learn(partition, last);
        if tail.as_ref().is_some_and(|tail| tail.offset < at) && book.lacks(partition, last.mark()) {
            at = consumer.earliest(partition).await?;
        }
    }
    consumer.seek(partition, at).await?;
    catch_up.begin(partition, at, tail.map(|tail| tail.offset));
    Ok(last)
}
