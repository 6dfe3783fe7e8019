//! What a relay does when it starts: it looks at the last records of every partition, one after the other.

use std::time::{Duration, Instant};

use factum::{
    Timestamp,
    bus::{NewRecord, TopicPartition, TopicSpec},
};

use crate::broker::{broker, bus, prefix};

const PARTITIONS: u32 = 12;
/// How many times each is looked at.
const ROUNDS: usize = 4;
/// Much more than these looks take: some milliseconds each.
const TOGETHER_MAX: Duration = Duration::from_secs(5);

/// A partition whose one wanted record had come was not fetched from for a second, whatever was asked of it next: a
/// relay that took over published for the first time after several.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_records_of_all_partitions_are_read_one_after_the_other_without_waiting() {
    let Some(broker) = broker("the last records are read without waiting") else { return };
    let bus = bus(&broker, &prefix());
    bus.ensure_topics(&[TopicSpec::new("a", PARTITIONS).unwrap()]).await.unwrap();
    let record = |number: u32| {
        let (key, value) = (vec![b'k'].into(), number.to_string().into_bytes().into());
        NewRecord { key, value, headers: Default::default(), timestamp: Timestamp::default() }
    };
    let records = (0..PARTITIONS * 50).map(|number| (TopicPartition::new("a", number % PARTITIONS), record(number)));
    bus.producer().await.unwrap().produce(records.collect()).await.unwrap();

    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for number in 0..PARTITIONS {
            let partition = TopicPartition::new("a", number);
            let last = bus.tail(&partition, None).await.unwrap().unwrap();
            assert_eq!(last.value, (PARTITIONS * 49 + number).to_string().as_bytes());
            let before = bus.tail(&partition, Some(last.offset)).await.unwrap().unwrap();
            assert_eq!(before.value, (PARTITIONS * 48 + number).to_string().as_bytes());
        }
    }
    let took = begun.elapsed();
    assert!(took < TOGETHER_MAX, "{took:?}");
    bus.close().await.unwrap();
}
