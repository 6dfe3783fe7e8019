//! What a partition ends with.

use super::{Bus, BusError, Envelope, EnvelopeError, Offset, TopicPartition};

/// How many records at the end of a partition are passed over that are no messages, where that has a limit.
pub(crate) const NO_MESSAGES_MAX: usize = 1_000;

/// The end of a partition.
pub(crate) struct LastMessage {
    /// The offset of the last record.
    pub(crate) tail: Option<Offset>,
    /// The last message.
    pub(crate) message: Option<Envelope>,
    /// So many records behind it are none.
    pub(crate) passed_over: usize,
}

/// Looks for the last message of a partition among its last records, at most `limit`. What is none tells nothing of what is
/// before it: whoever reads it passes over it, or stands still before it. `pass_over` is told of each.
pub(crate) async fn last_message(
    bus: &dyn Bus,
    partition: &TopicPartition,
    limit: usize,
    pass_over: impl Fn(Offset, &EnvelopeError) + Send,
) -> Result<LastMessage, BusError> {
    let mut end = LastMessage { tail: None, message: None, passed_over: 0 };
    let mut below = None;
    while end.passed_over < limit {
        let Some(record) = bus.tail(partition, below).await? else { break };
        end.tail = end.tail.or(Some(record.offset));
        match Envelope::decode(&record.headers, &record.value) {
            Ok(message) => {
                end.message = Some(message);
                break;
            }
            Err(error) => pass_over(record.offset, &error),
        }
        end.passed_over += 1;
        below = Some(record.offset);
    }
    Ok(end)
}
