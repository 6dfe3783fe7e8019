//! The broker that all tests share; each has topics and groups of its own by a prefix.

use std::sync::Arc;

use factum::bus::Bus;
use factum_kafka::{KafkaBus, KafkaOptions};
pub(crate) use local_services::kafka_for_tests as broker;

/// A prefix that no other test has, in this run or another.
pub(crate) fn prefix() -> String {
    format!("t{}.", &uuid::Uuid::new_v4().simple().to_string()[..12])
}

pub(crate) fn bus(broker: &str, prefix: &str) -> Arc<dyn Bus> {
    let options = KafkaOptions::new(broker).and_then(|options| options.topic_prefix(prefix)).expect("well spelt");
    Arc::new(KafkaBus::new(options).expect("its properties are known"))
}
