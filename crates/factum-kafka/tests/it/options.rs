//! What is wrong before any broker is asked, and a broker that is not there.

use std::time::Duration;

use factum::bus::{Assignment, Bus, BusError, ConsumerOptions, TopicSpec};
use factum_kafka::{KafkaBus, KafkaOptions, OptionError};

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";
/// More than any single call may take, each with a limit of its own.
const CALL_WITHIN: Duration = Duration::from_secs(15);

#[test]
fn a_misspelt_property_is_told_by_name() {
    let misspelt = |name: &str, value: &str| {
        let options = KafkaOptions::new(NOBODY).and_then(|options| options.property(name, value)).unwrap();
        KafkaBus::new(options).err()
    };
    let Some(OptionError::Property { name, .. }) = misspelt("socket.timeout.millis", "100") else { panic!("taken") };
    assert_eq!(name, "socket.timeout.millis");
    let Some(OptionError::Property { name, value, .. }) = misspelt("socket.timeout.ms", "soon") else {
        panic!("taken")
    };
    assert_eq!((name.as_str(), value.as_str()), ("socket.timeout.ms", "soon"));
    let prefixed = KafkaOptions::new(NOBODY).and_then(|options| options.topic_prefix("a-b"));
    assert_eq!(prefixed, Err(OptionError::Prefix("a-b".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_unavailable_and_holds_up_nobody() {
    let bus = KafkaBus::new(KafkaOptions::new(NOBODY).unwrap()).unwrap();
    let topic = TopicSpec::new("shop.counters.counter.events", 1).unwrap();
    let asked = tokio::time::timeout(CALL_WITHIN, bus.partitions(&topic.name)).await.expect("bounded");
    assert!(matches!(asked, Err(BusError::Unavailable(_))), "{asked:?}");
    let topics = [topic];
    let made = tokio::time::timeout(CALL_WITHIN, bus.ensure_topics(&topics)).await.expect("bounded");
    assert!(matches!(made, Err(BusError::Unavailable(_))), "{made:?}");
    let options = |assignment| {
        let topics = vec![topics[0].name.clone()];
        ConsumerOptions { group: "group".to_owned(), topics, assignment }
    };
    let member = bus.consumer(options(Assignment::Group)).await.expect("it waits for the broker");
    let alone = bus.consumer(options(Assignment::Everything)).await.expect("it waits for the broker");
    drop((member, alone));
    tokio::time::timeout(CALL_WITHIN, bus.close()).await.expect("bounded").expect("closes");
    assert!(matches!(bus.partitions(&topics[0].name).await, Err(BusError::Closed)));
}
