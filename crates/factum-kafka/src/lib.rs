//! The bus of `factum` on Apache Kafka.
//!
//! Outside it nothing compiles a Kafka client: services name it in their binaries, the embedded default never does.

#![warn(missing_docs)]

mod options;

pub use options::{KafkaOptions, OptionError};
