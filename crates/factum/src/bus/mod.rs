//! Messages between services, in Kafka's shape: topics, partitions, keys, offsets.
//!
//! [`Bus`] is object-safe with bytes inside, so that one relay and one consumer serve every bus. [`LocalBus`] is the
//! embedded one, [`MemoryBus`] the one for tests and examples. What goes over it is an [`Envelope`]: CloudEvents 1.0 in the Kafka binding.

mod command;
mod envelope;
mod error;
mod groups;
mod headers;
mod last_message;
mod local;
mod log;
mod memory;
mod partitioner;
mod types;

pub use command::{
    CANCEL_NAME, COMMAND_ID_BYTES_MAX, NOTHING_TO_DO_NAME, REFUSED_NAME, command_id, command_name, command_topic,
    is_command_id, sender_of, wire_name,
};
#[cfg(test)]
pub(crate) use envelope::tests::envelope as full_envelope;
pub use envelope::{Envelope, EnvelopeError, HISTORY_LEFT_NAME, LINEAGE_MAX, Origin, Remains};
pub(crate) use envelope::{Mark, schema_id};
pub use error::BusError;
pub use headers::Headers;
pub(crate) use last_message::{LastMessage, NO_MESSAGES_MAX, last_message};
pub use local::{LocalBus, LocalBusError, LocalBusOptions, RECORD_BYTES_DEFAULT};
pub use log::{FETCH_BYTES_MAX, FETCH_RECORDS_MAX};
pub use memory::MemoryBus;
pub use partitioner::partition_of;
pub use types::{
    Assignment, BusEvent, ConsumerOptions, NewRecord, Offset, PARTITIONS_MAX, Record, Revocation, TOPIC_BYTES_MAX,
    TopicPartition, TopicSpec,
};

// Fuzzed.
#[cfg(test)]
pub(crate) use local::{decode_metadata, encode_metadata};

use crate::store::BoxFuture;

/// A log per partition of each topic, read by any number of consumers. Ordered within a partition only.
pub trait Bus: Send + Sync {
    /// Makes the topics that are not there. Those that are must have the same number of partitions.
    ///
    /// # Errors
    /// [`BusError::WrongPartitionCount`], [`BusError::InvalidTopic`], or the bus failed.
    fn ensure_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), BusError>>;

    /// The number of partitions of a topic.
    ///
    /// # Errors
    /// [`BusError::UnknownTopic`], or the bus failed.
    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<u32, BusError>>;

    /// A way to send.
    ///
    /// # Errors
    /// The bus failed.
    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, BusError>>;

    /// A way to receive. Dropping it leaves its group.
    ///
    /// # Errors
    /// [`BusError::UnknownTopic`] for a static assignment, or the bus failed.
    fn consumer(&self, options: ConsumerOptions) -> BoxFuture<'_, Result<Box<dyn Consumer>, BusError>>;

    /// The last record of a partition; with `below`, the last one before that offset.
    ///
    /// # Errors
    /// [`BusError::UnknownTopic`], or the bus failed.
    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>>;

    /// Lets go of everything; what was acknowledged stays. Idempotent. Consumers answer [`BusError::Closed`] then.
    ///
    /// # Errors
    /// The bus failed.
    fn close(&self) -> BoxFuture<'_, Result<(), BusError>>;
}

/// Sends records. After any error it must be dropped, with whatever it still had in its queue.
pub trait Producer: Send {
    /// Sends records in this order and returns the offset of each once all of them are durable.
    ///
    /// # Errors
    /// Any: some of the records may be on the bus, and of each partition a beginning of them.
    fn produce(&mut self, records: Vec<(TopicPartition, NewRecord)>) -> BoxFuture<'_, Result<Vec<Offset>, BusError>>;
}

/// Receives records of the partitions assigned to it.
pub trait Consumer: Send {
    /// What happens next; waits for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`BusError::OffsetOutOfRange`] for one partition, after which the others go on; anything else: drop the
    /// consumer.
    fn next(&mut self) -> BoxFuture<'_, Result<BusEvent, BusError>>;

    /// The offset that a partition delivers next, if it was given one.
    fn position(&self, partition: &TopicPartition) -> Option<Offset>;

    /// Sets what a partition delivers next.
    ///
    /// # Errors
    /// [`BusError::NotAssigned`], or the bus failed.
    fn seek<'a>(&'a mut self, partition: &'a TopicPartition, offset: Offset) -> BoxFuture<'a, Result<(), BusError>>;

    /// Where a partition begins.
    ///
    /// # Errors
    /// [`BusError::UnknownTopic`], or the bus failed.
    fn earliest<'a>(&'a mut self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<Offset, BusError>>;

    /// A partition delivers nothing until [`Consumer::resume`]; its position stays.
    fn pause(&mut self, partition: &TopicPartition);

    /// A paused partition goes on.
    fn resume(&mut self, partition: &TopicPartition);

    /// Brings no more than so many records at once from now on, where it can: a wish, for consumers that others must not
    /// wait for.
    fn fetches_at_most(&mut self, records: usize) {
        let _ = records;
    }
}
