//! An Apache Kafka of one node, in KRaft mode, on loopback.

mod broker;
mod fetched;
mod left;
mod properties;
mod wire;

pub use broker::{Kafka, KafkaOptions};
pub use left::Left;
pub use wire::answers;
