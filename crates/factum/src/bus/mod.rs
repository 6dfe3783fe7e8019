//! Messages between services, in Kafka's shape: topics, partitions, keys, offsets.

mod partitioner;

pub use partitioner::partition_of;
