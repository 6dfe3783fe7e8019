//! Real services on this machine without containers: what is missing is fetched with ordinary clients, started on free
//! loopback ports, and ended with its owner. For tests, trials, benchmarks and automation; nothing of a product.
//!
//! ```no_run
//! use local_services::{Kafka, KafkaOptions};
//! let folder = std::env::temp_dir().join("a-broker");
//! let mut kafka = Kafka::prepare(KafkaOptions::new(folder))?;
//! kafka.start()?;
//! println!("a broker is at {}", kafka.bootstrap());
//! kafka.kill()?; // as a crash does; its data stays
//! kafka.start()?; // on the same port
//! # Ok::<(), local_services::Error>(())
//! ```
//!
//! Everything fetched lies in `local-services/` of the folder that cargo builds into, and is fetched once.

mod error;
mod files;
mod for_tests;
mod home;
mod kafka;
mod owned;
mod ports;

pub use error::Error;
pub use for_tests::{KAFKA_VARIABLE, REQUIRED_VARIABLE, kafka_for_tests, lacking, own_kafka_for_tests, skipped};
pub use home::home;
pub use kafka::{Kafka, KafkaOptions, Left, answers};
pub use owned::{Owned, Signal};
pub use ports::PortBase;
