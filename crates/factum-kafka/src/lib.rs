//! The bus of `factum` on Apache Kafka.
//!
//! Outside it nothing compiles a Kafka client: services name it in their binaries, the embedded default never does.
//!
//! ```no_run
//! use factum::bus::{Bus, TopicSpec};
//! use factum_kafka::{KafkaBus, KafkaOptions};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = KafkaBus::new(KafkaOptions::new("localhost:9092")?)?;
//! bus.ensure_topics(&[TopicSpec::new("bank.accounts.account.events", 12)?]).await?;
//! assert_eq!(bus.partitions("bank.accounts.account.events").await?, 12);
//! bus.close().await?;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod bus;
mod client;
mod consumer;
mod failure;
mod looker;
mod options;
mod producer;
mod record;
mod topics;

pub use bus::KafkaBus;
pub use options::{KafkaOptions, OptionError, PREFIX_BYTES_MAX};
