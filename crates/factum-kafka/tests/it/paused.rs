//! A broker that was stopped goes on, and for a moment its cluster knows of no broker: clients that ask just then forget the
//! only one that they know, and librdkafka leaves it at that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use factum::{
    bus::{
        Assignment, Bus, BusEvent, Consumer, ConsumerOptions, Headers, NewRecord, Offset, TopicPartition, TopicSpec,
    },
    model::Timestamp,
};
use local_services::{KafkaOptions, own_kafka_for_tests};
use tokio::{task::block_in_place, time::timeout};

use crate::broker::{bus, prefix};

const TOPIC: &str = "shop.counters.counter.events";
/// How long the broker is stopped: longer than its session with the controller, which is in the same process.
const STOPPED: Duration = Duration::from_secs(3);
/// How often. Who asks at the wrong moment is up to chance.
const TIMES: u64 = 6;
/// Within what everything works again.
const WORKS_WITHIN: Duration = Duration::from_secs(20);

async fn send(bus: &Arc<dyn Bus>, number: u64) {
    let record = || {
        let (value, timestamp) = (number.to_string().into(), Timestamp::from_micros(1_000_000));
        (TopicPartition::new(TOPIC, 0), NewRecord { key: "key".into(), headers: Headers::new(), value, timestamp })
    };
    let sends = async {
        loop {
            let Ok(mut producer) = bus.producer().await else { continue };
            if producer.produce(vec![record()]).await.is_ok() {
                return;
            }
        }
    };
    timeout(WORKS_WITHIN, sends).await.expect("it is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_stopped_is_found_again_by_everyone() {
    let story = "a_broker_that_was_stopped_is_found_again_by_everyone";
    let folder = tempfile::tempdir().unwrap();
    let Some(mut kafka) = own_kafka_for_tests(story, KafkaOptions::new(folder.path())) else { return };
    block_in_place(|| kafka.start()).unwrap();
    let (bus, place) = (bus(&kafka.bootstrap(), &prefix()), TopicPartition::new(TOPIC, 0));
    bus.ensure_topics(&[TopicSpec::new(TOPIC, 1).unwrap()]).await.unwrap();
    let options =
        |group: &str, assignment| ConsumerOptions { group: group.to_owned(), topics: vec![TOPIC.into()], assignment };
    let mut readers = vec![
        Reader::new(&bus, options("everything", Assignment::Everything)),
        Reader::new(&bus, options("alone", Assignment::Static(vec![place.clone()]))),
        Reader::new(&bus, options("member", Assignment::Group)),
    ];
    for round in 0..TIMES {
        block_in_place(|| kafka.pause()).unwrap();
        tokio::time::sleep(STOPPED).await;
        block_in_place(|| kafka.resume()).unwrap();
        let begun = Instant::now();
        send(&bus, round).await;
        let sent = begun.elapsed();
        let looks = async { while bus.tail(&place, None).await.is_err() {} };
        timeout(WORKS_WITHIN, looks).await.expect("it is looked at");
        let looked_at = begun.elapsed();
        for reader in &mut readers {
            let reads = timeout(WORKS_WITHIN, reader.reads(round)).await;
            reads.unwrap_or_else(|_| panic!("{:?} does not read {round}", reader.options));
        }
        println!("sent after {sent:?}, looked at after {looked_at:?}, read after {:?}", begun.elapsed());
    }
    drop(readers);
    bus.close().await.unwrap();
}

/// Who takes another consumer when one fails, as a projection does.
struct Reader {
    bus: Arc<dyn Bus>,
    options: ConsumerOptions,
    consumer: Option<Box<dyn Consumer>>,
    next: Offset,
}

impl Reader {
    fn new(bus: &Arc<dyn Bus>, options: ConsumerOptions) -> Self {
        Self { bus: bus.clone(), options, consumer: None, next: Offset::new(0) }
    }

    /// Reads up to a number.
    async fn reads(&mut self, number: u64) {
        while self.next <= Offset::new(number) {
            let Some(consumer) = &mut self.consumer else {
                self.consumer = self.bus.consumer(self.options.clone()).await.ok();
                continue;
            };
            match consumer.next().await {
                Ok(BusEvent::Assigned(partitions)) => {
                    for partition in partitions {
                        consumer.seek(&partition, self.next).await.expect("a partition of its own");
                    }
                }
                Ok(BusEvent::Records(_, records)) => {
                    for record in records {
                        assert_eq!(record.offset, self.next);
                        self.next = record.offset.next();
                    }
                }
                Ok(BusEvent::Revoked(..)) => {}
                Err(error) => {
                    println!("{}: {error}", self.options.group);
                    self.consumer = None;
                }
            }
        }
    }
}
