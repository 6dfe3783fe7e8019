//! An Apache Kafka of one node, in KRaft mode, on loopback.

mod broker;
mod fetched;
mod left;
mod probe;
mod properties;

pub use broker::{Kafka, KafkaOptions};
pub use left::Left;
pub use probe::answers;
