//! The contract suite of buses.

use factum::testing;

use crate::broker::{broker, bus, prefix};

#[tokio::test(flavor = "multi_thread")]
async fn kafka_is_a_bus() {
    let Some(broker) = broker("kafka_is_a_bus") else { return };
    testing::bus_suite(&|| bus(&broker, &prefix())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_keeps_what_was_acknowledged() {
    let Some(broker) = broker("kafka_keeps_what_was_acknowledged") else { return };
    let prefix = prefix();
    testing::bus_reopening_suite(&|| bus(&broker, &prefix)).await;
}
