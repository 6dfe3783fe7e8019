//! What stops a partition: a message that cannot be taken in, a record that is none.

use super::*;

/// Refuses one message for good, until it is mended.
struct Stubborn {
    noting: Noting,
    poison: u64,
    mended: Mutex<bool>,
}

impl Effect for Stubborn {
    fn take<'a>(
        &'a self,
        from: &'a TopicPartition,
        record: &'a Record,
        message: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        if message.position.get() == self.poison && !*self.mended.lock().unwrap() {
            return Box::pin(async { Err(EffectError::Never("too bitter".to_owned())) });
        }
        self.noting.take(from, record, message)
    }
}

#[tokio::test]
async fn what_cannot_be_done_stops_its_partition_with_an_alarm_until_it_can() {
    let (world, _bus) = world();
    let other = other_side(&world);
    let (stuck, neighbour) = neighbours();
    let free = (1..).find(|free| partition_of(*free) != partition_of(stuck)).unwrap();
    let relay = world.relay();
    raise(world.store.as_ref(), stuck, 1).await;
    let poison = raise(world.store.as_ref(), stuck, 2).await.get();
    for counter in [stuck, neighbour, free] {
        raise(world.store.as_ref(), counter, 3).await;
    }
    relay.status.shows(|report| report.processed == 5).await;
    let noting = Noting(other.store.clone());
    let stubborn = Arc::new(Stubborn { noting, poison, mended: Mutex::new(false) });
    let (consumer, seen) = started(&other, stubborn.clone());
    let home = partition_of(stuck).to_string();
    consumer.status.shows(|report| report.alarms.contains_key(&home)).await;
    let alarm = consumer.status.report().alarms[&home].clone();
    assert!(alarm.contains("too bitter"), "{alarm}");
    within(async {
        while !notes(other.store.as_ref()).await.iter().any(|(name, _)| *name == format!("noted_counter-{free}")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let found = notes(other.store.as_ref()).await;
    let of_stuck = found.iter().find(|(name, _)| *name == format!("noted_counter-{stuck}"));
    assert_eq!(of_stuck.map(|(_, positions)| positions.len()), Some(1), "nothing of its key went past it");
    assert!(!seen.borrow().start);

    *stubborn.mended.lock().unwrap() = true;
    within(noted_everything(&world, &other, &Faults::none())).await;
    consumer.status.shows(|report| report.alarms.is_empty() && report.state == LoopState::Live).await;
    assert!(seen.borrow().start);
    consumer.stop().await.unwrap();
    relay.stop().await.unwrap();
}

/// The run that goes on does not know that the partition stood still in the one before: nobody took the alarm away.
#[tokio::test]
async fn what_is_mended_while_a_consumer_is_interrupted_leaves_no_alarm() {
    let (world, _bus) = world();
    let (other, faults, relay) = (other_side(&world), Faults::none(), world.relay());
    let poison = raise(world.store.as_ref(), 1, 2).await.get();
    relay.status.shows(|report| report.processed == 1).await;
    let noting = Noting(other.store.clone());
    let stubborn = Arc::new(Stubborn { noting, poison, mended: Mutex::new(false) });
    let (consumer, _seen) = started(&faulty(&other, &faults), stubborn.clone());
    let home = partition_of(1).to_string();
    consumer.status.shows(|report| report.alarms.contains_key(&home)).await;
    faults.bus_is_down(true);
    consumer.status.shows(|report| report.state == LoopState::BackingOff).await;
    *stubborn.mended.lock().unwrap() = true;
    faults.bus_is_down(false);
    within(noted_everything(&world, &other, &Faults::none())).await;
    within(consumer.status.shows(|report| report.alarms.is_empty() && report.state == LoopState::Live)).await;
    consumer.stop().await.unwrap();
    relay.stop().await.unwrap();
}

/// Progress went as far as a message that failed, over others of more keys than are worked on at once: those that nobody
/// had begun were never told.
#[tokio::test]
async fn a_failure_passes_over_nothing_that_was_not_begun() {
    /// More than the loop works on at once.
    const KEYS: usize = 80;
    let (world, _bus) = world();
    let other = other_side(&world);
    let home = partition_of(0);
    let keys: Vec<u64> = (0..).filter(|counter| partition_of(*counter) == home).take(KEYS).collect();
    for counter in &keys {
        raise(world.store.as_ref(), *counter, 1).await;
    }
    // Behind them all, of the key that is begun first.
    let poison = raise(world.store.as_ref(), keys[0], 2).await.get();
    let relay = world.relay();
    relay.status.shows(|report| report.processed == KEYS as u64 + 1).await;
    let stubborn = Arc::new(Stubborn { noting: Noting(other.store.clone()), poison, mended: Mutex::new(false) });
    let (consumer, _) = started(&other, stubborn.clone());
    consumer.status.shows(|report| report.alarms.contains_key(&home.to_string())).await;
    assert_eq!(notes(other.store.as_ref()).await.len(), KEYS, "all that comes before it is done");

    *stubborn.mended.lock().unwrap() = true;
    within(noted_everything(&world, &other, &Faults::none())).await;
    consumer.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn a_record_that_is_no_message_stops_its_partition() {
    let (world, bus) = world();
    let other = other_side(&world);
    let relay = world.relay();
    raise(world.store.as_ref(), 0, 1).await;
    relay.status.shows(|report| report.processed == 1).await;
    let record: Record = bus.records(&partition_of(0)).remove(0);
    let junk = factum::bus::NewRecord {
        key: record.key,
        headers: factum::bus::Headers::new(),
        value: "what?".into(),
        timestamp: record.timestamp,
    };
    world.bus.producer().await.unwrap().produce(vec![(partition_of(0), junk)]).await.unwrap();
    let (consumer, _) = started(&other, Arc::new(Noting(other.store.clone())));
    let home = partition_of(0).to_string();
    consumer.status.shows(|report| report.alarms.contains_key(&home)).await;
    assert_eq!(notes(other.store.as_ref()).await, to_be_noted(world.store.as_ref()).await);
    consumer.stop().await.unwrap();
    relay.stop().await.unwrap();
}
