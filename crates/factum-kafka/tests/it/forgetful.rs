//! What only a broker does: it deletes records and topics, and has settings of its own.

use std::{sync::Arc, time::Duration};

use factum::{
    bus::{
        Assignment, Bus, BusError, BusEvent, Consumer, ConsumerOptions, Headers, NewRecord, Offset, TopicPartition,
        TopicSpec,
    },
    model::Timestamp,
};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};

use crate::broker::{broker, bus, prefix};

const TOPIC: &str = "shop.counters.counter.events";
const WITHIN: Duration = Duration::from_secs(60);

fn admin(broker: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", broker).create().expect("a client")
}

async fn send(bus: &Arc<dyn Bus>, count: u64) -> Result<Vec<Offset>, BusError> {
    let record = |number: u64| {
        let value = number.to_string().into();
        let timestamp = Timestamp::from_micros(1_000_000);
        (TopicPartition::new(TOPIC, 0), NewRecord { key: "key".into(), headers: Headers::new(), value, timestamp })
    };
    bus.producer().await?.produce((1..=count).map(record).collect()).await
}

async fn reader(bus: &Arc<dyn Bus>, assignment: Assignment) -> Box<dyn Consumer> {
    let options = ConsumerOptions { group: "group".to_owned(), topics: vec![TOPIC.into()], assignment };
    let mut reader = bus.consumer(options).await.expect("a consumer");
    assert!(matches!(next(reader.as_mut()).await, Ok(BusEvent::Assigned(_))));
    reader
}

async fn next(reader: &mut dyn Consumer) -> Result<BusEvent, BusError> {
    tokio::time::timeout(WITHIN, reader.next()).await.expect("something happens")
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_retention_deleted_are_out_of_range() {
    let Some(broker) = broker("records_that_retention_deleted_are_out_of_range") else { return };
    let prefix = prefix();
    let bus = bus(&broker, &prefix);
    bus.ensure_topics(&[TopicSpec::new(TOPIC, 1).unwrap()]).await.unwrap();
    send(&bus, 10).await.unwrap();
    let mut cut = TopicPartitionList::new();
    cut.add_partition_offset(&format!("{prefix}{TOPIC}"), 0, rdkafka::Offset::Offset(6)).unwrap();
    admin(&broker).delete_records(&cut, &AdminOptions::new()).await.unwrap();
    let place = TopicPartition::new(TOPIC, 0);
    let mut reader = reader(&bus, Assignment::Group).await;
    reader.seek(&place, Offset::new(2)).await.unwrap();
    match next(reader.as_mut()).await {
        Err(BusError::OffsetOutOfRange { partition, offset, earliest }) => {
            assert_eq!((partition, offset, earliest), (place.clone(), Offset::new(2), Offset::new(6)));
        }
        other => panic!("{other:?}"),
    }
    reader.seek(&place, Offset::new(6)).await.unwrap();
    let Ok(BusEvent::Records(_, records)) = next(reader.as_mut()).await else { panic!("expected records") };
    assert_eq!(records[0].offset, Offset::new(6));
    assert_eq!(bus.tail(&place, Some(Offset::new(6))).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_is_lost_to_its_readers_and_unknown_to_its_writers() {
    let story = "a_topic_that_is_deleted_is_lost_to_its_readers_and_unknown_to_its_writers";
    let Some(broker) = broker(story) else { return };
    let prefix = prefix();
    let bus = bus(&broker, &prefix);
    bus.ensure_topics(&[TopicSpec::new(TOPIC, 1).unwrap()]).await.unwrap();
    send(&bus, 3).await.unwrap();
    let place = TopicPartition::new(TOPIC, 0);
    let mut member = reader(&bus, Assignment::Group).await;
    let mut alone = reader(&bus, Assignment::Everything).await;
    for reader in [&mut member, &mut alone] {
        reader.seek(&place, Offset::new(0)).await.unwrap();
        assert!(matches!(next(reader.as_mut()).await, Ok(BusEvent::Records(..))));
    }
    let mut producer = bus.producer().await.unwrap();
    admin(&broker).delete_topics(&[&format!("{prefix}{TOPIC}")], &AdminOptions::new()).await.unwrap();
    let record = NewRecord {
        key: "key".into(),
        headers: Headers::new(),
        value: "4".into(),
        timestamp: Timestamp::from_micros(0),
    };
    let refused = producer.produce(vec![(place.clone(), record)]).await.err();
    assert!(refused.is_some_and(|error| error.is_transient()));
    assert!(matches!(send(&bus, 1).await, Err(BusError::UnknownTopic(_))));
    for reader in [&mut member, &mut alone] {
        let Ok(BusEvent::Revoked(partitions, _)) = next(reader.as_mut()).await else { panic!("expected a loss") };
        assert_eq!(partitions, std::slice::from_ref(&place));
    }
    // Whoever publishes makes it again, and everybody goes on from its new beginning.
    bus.ensure_topics(&[TopicSpec::new(TOPIC, 1).unwrap()]).await.unwrap();
    assert_eq!(send(&bus, 2).await.unwrap(), [Offset::new(0), Offset::new(1)]);
    for reader in [&mut member, &mut alone] {
        assert!(matches!(next(reader.as_mut()).await, Ok(BusEvent::Assigned(_))));
        reader.seek(&place, Offset::new(0)).await.unwrap();
        let Ok(BusEvent::Records(_, records)) = next(reader.as_mut()).await else { panic!("expected records") };
        assert_eq!(records[0].offset, Offset::new(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_forgets_is_refused() {
    let Some(broker) = broker("a_topic_that_forgets_is_refused") else { return };
    let prefix = prefix();
    let name = format!("{prefix}{TOPIC}");
    let compacted = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    admin(&broker).create_topics(&[compacted], &AdminOptions::new()).await.unwrap();
    match bus(&broker, &prefix).ensure_topics(&[TopicSpec::new(TOPIC, 1).unwrap()]).await {
        Err(BusError::WrongSetting { setting: "cleanup.policy", expected, actual, .. }) => {
            assert_eq!((expected.as_str(), actual.as_str()), ("delete", "compact"));
        }
        other => panic!("{other:?}"),
    }
}
