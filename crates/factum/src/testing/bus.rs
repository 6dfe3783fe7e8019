//! The contract suite of buses.

mod consuming;
mod groups;
mod producing;
mod rebalancing;

use std::{future::Future, sync::Arc};

use super::{
    NOW,
    case::{ok, verdict},
    event_store::failure,
};
use crate::{
    bus::{Assignment, Bus, BusEvent, Consumer, ConsumerOptions, NewRecord, Offset, Record, TopicPartition, TopicSpec},
    store::BoxFuture,
};

type Case = (&'static str, fn(Arc<dyn Bus>) -> BoxFuture<'static, ()>);

const CASES: &[&[Case]] = &[producing::CASES, consuming::CASES, groups::CASES, rebalancing::CASES];

/// Puts a bus to the test: everything relay and consumers rely on, revocation and fencing in a rebalance among it. `make` gives a new, empty bus each time; call this
/// on a tokio runtime with time.
///
/// ```
/// use std::sync::Arc;
/// use factum::{bus::MemoryBus, testing};
/// # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
/// testing::bus_suite(&|| Arc::new(MemoryBus::new())).await;
/// # });
/// ```
///
/// # Panics
/// The bus breaks the contract: names every case that failed.
pub async fn bus_suite(make: &dyn Fn() -> Arc<dyn Bus>) {
    let mut failures = Vec::new();
    for (name, case) in CASES.iter().copied().flatten() {
        failures.extend(failure(name, case(make())).await);
    }
    verdict("bus", &failures);
}

/// Puts to the test what a bus that outlives its process must keep. `open` opens the same bus each time, which is
/// empty the first time; the one before was closed by then, every other time only dropped.
///
/// ```
/// use std::sync::Arc;
/// use factum::{bus::{Bus, LocalBus, LocalBusOptions}, testing};
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_multi_thread().enable_time().build()?.block_on(async {
/// let open = || -> Arc<dyn Bus> {
///     Arc::new(LocalBus::open(dir.path(), LocalBusOptions::default()).expect("opens"))
/// };
/// testing::bus_reopening_suite(&open).await;
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// The bus breaks the contract: names every round that failed.
pub async fn bus_reopening_suite(open: &dyn Fn() -> Arc<dyn Bus>) {
    let mut failures = Vec::new();
    for round in 1..=4 {
        let name = format!("everything_acknowledged_survives_reopening, round {round}");
        failures.extend(failure(&name, Box::pin(producing::reopened(open(), round))).await);
    }
    verdict("bus", &failures);
}

const TOPIC: &str = "shop.counters.counter.events";
const OTHER_TOPIC: &str = "shop.shelves.shelf.events";

fn partition(number: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, number)
}

async fn make_topic(bus: &dyn Bus, name: &str, partitions: u32) {
    ok(bus.ensure_topics(&[ok(TopicSpec::new(name, partitions))]).await);
}

/// A record that tells its number.
fn record(number: u64) -> NewRecord {
    let mut headers = crate::bus::Headers::new();
    headers.push("number", number.to_string());
    headers.push("bytes", vec![0, 0xff, b'\n']);
    NewRecord { key: format!("key-{number}").into(), headers, value: number.to_string().into(), timestamp: NOW }
}

fn number(record: &Record) -> u64 {
    let text = std::str::from_utf8(&record.value).unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("a record that was never sent: {record:?}"))
}

/// Sends records of these numbers to one partition, in one call.
async fn send(bus: &dyn Bus, to: &TopicPartition, numbers: impl IntoIterator<Item = u64>) -> Vec<Offset> {
    let records = numbers.into_iter().map(|number| (to.clone(), record(number))).collect();
    ok(ok(bus.producer().await).produce(records).await)
}

async fn consumer(bus: &dyn Bus, group: &str, assignment: Assignment) -> Box<dyn Consumer> {
    let topics = vec![TOPIC.into()];
    ok(bus.consumer(ConsumerOptions { group: group.to_owned(), topics, assignment }).await)
}

/// The next event, which must be an assignment.
async fn assigned(consumer: &mut dyn Consumer) -> Vec<TopicPartition> {
    match ok(consumer.next().await) {
        BusEvent::Assigned(mut partitions) => {
            partitions.sort();
            partitions
        }
        other => panic!("expected an assignment, got {other:?}"),
    }
}

/// Lets every partition deliver from its beginning.
async fn from_the_beginning(consumer: &mut dyn Consumer, partitions: &[TopicPartition]) {
    for partition in partitions {
        let earliest = ok(consumer.earliest(partition).await);
        ok(consumer.seek(partition, earliest).await);
    }
}

/// The numbers of the next `count` records, by partition in order of arrival.
async fn receive(consumer: &mut dyn Consumer, count: usize) -> Vec<(TopicPartition, u64)> {
    let mut received = Vec::new();
    while received.len() < count {
        match ok(consumer.next().await) {
            BusEvent::Records(partition, records) => {
                assert!(!records.is_empty(), "records are never none");
                received.extend(records.iter().map(|record| (partition.clone(), number(record))));
            }
            other => panic!("expected records, got {other:?}"),
        }
    }
    assert_eq!(received.len(), count, "more came than was expected: {received:?}");
    received
}

/// Nothing happens although everybody had their turn.
async fn nothing_yet<T>(future: impl Future<Output = T>) {
    let others = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = future => panic!("something happened that should not have"),
        () = others => {}
    }
}
