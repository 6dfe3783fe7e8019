//! The broker that all tests share; each has topics and groups of its own by a prefix.

use std::sync::Arc;

use factum::bus::Bus;
use factum_kafka::{KafkaBus, KafkaOptions};

/// Where the broker is; `None` says that the story was skipped, and why.
pub(crate) fn broker(story: &str) -> Option<String> {
    let found = std::env::var("FACTUM_TEST_KAFKA").ok().filter(|broker| !broker.is_empty());
    if found.is_none() {
        let required = std::env::var("FACTUM_REQUIRE_SERVICES").is_ok_and(|required| required == "1");
        assert!(!required, "{story}: FACTUM_TEST_KAFKA names no broker");
        println!("SKIPPED {story}: FACTUM_TEST_KAFKA names no broker");
    }
    found
}

/// A prefix that no other test has, in this run or another.
pub(crate) fn prefix() -> String {
    format!("t{}.", &uuid::Uuid::new_v4().simple().to_string()[..12])
}

pub(crate) fn bus(broker: &str, prefix: &str) -> Arc<dyn Bus> {
    let options = KafkaOptions::new(broker).and_then(|options| options.topic_prefix(prefix)).expect("well spelt");
    Arc::new(KafkaBus::new(options).expect("its properties are known"))
}
