//! What a consumer fetches while it applies a batch counts for nothing until its turn comes.

use std::sync::{
    Mutex,
    mpsc::{Receiver, Sender, channel},
};

use factum::bus::{Assignment, BusEvent, ConsumerOptions};

use super::*;
use crate::world::GROUP;

/// More than a consumer needs to fetch what is new on a bus in memory, on the one thread of these tests.
const TURNS: usize = 100;

/// A projection, which waits with each message until it is let go.
struct Held {
    projection: DynProjection,
    began: Sender<()>,
    let_go: Mutex<Receiver<()>>,
}

impl AnyProjection for Held {
    fn key(&self) -> ProjectionKey {
        self.projection.key()
    }

    fn apply(&self, raw: RawEvent<'_>, delivery: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ApplyError> {
        // Once whoever holds it is gone, nothing waits any more.
        let _ = self.began.send(());
        let _ = self.let_go.lock().unwrap().recv();
        self.projection.apply(raw, delivery, tx)
    }
}

/// The projection held, whoever is told when it begins, and what lets it go when it is dropped.
fn hold(projection: DynProjection) -> (DynProjection, Receiver<()>, Sender<()>) {
    let ((began, begins), (go, let_go)) = (channel(), channel());
    (Box::new(Held { projection, began, let_go: Mutex::new(let_go) }), begins, go)
}

async fn applying(begins: &Receiver<()>) {
    eventually(|| begins.try_recv().ok(), || "nothing is applied".to_owned()).await;
}

/// A consumer that is applying these letters, until the sender is dropped.
async fn held(
    world: &World,
    bus: &MemoryBus,
    projection: DynProjection,
    letters: [Letter; 2],
) -> (Running<ConsumerEnd>, Sender<()>) {
    send(bus, letters).await;
    let (projection, begins, go) = hold(projection);
    let consumer = world.consumer_of(projection);
    applying(&begins).await;
    (consumer, go)
}

async fn let_others_run() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_fetched_ahead_follows_in_its_turn() {
    let (world, bus) = quiet_world().await;
    let (consumer, go) = held(&world, &bus, projections::erase::<Totals>(), [letter(0, 1), letter(1, 2)]).await;
    for position in 3..=5 {
        send(&bus, [letter(position - 1, position)]).await;
        let_others_run().await;
    }
    assert!(folded(&world).is_empty());
    drop(go);
    folds(&world, &bus, &[1, 2, 3, 4, 5]).await;
    // It is told a moment after it is committed.
    consumer.status.shows(|report| report.processed == 5).await;
    assert_eq!(consumer.status.report().dropped, 0);
}

#[tokio::test]
async fn what_was_fetched_of_a_partition_that_goes_back_is_read_again() {
    let (world, bus) = quiet_world().await;
    let junk = NewRecord { key: "k".into(), headers: Headers::new(), value: "hello".into(), timestamp: NOW };
    let records = vec![(home(), letter(0, 1).record()), (home(), junk)];
    bus.producer().await.unwrap().produce(records).await.unwrap();
    let (projection, begins, go) = hold(projections::erase::<Totals>());
    let consumer = world.consumer_of(projection);
    applying(&begins).await;
    send(&bus, [letter(1, 2)]).await;
    let_others_run().await;
    drop(go);
    alarm(&consumer, "offset 1").await;
    let_others_run().await;
    assert_eq!(folded(&world), [1], "message 2 stands behind what stopped its partition");
    bus.lose_records(&home(), Offset::new(1));
    send(&bus, [letter(1, 2), letter(2, 3)]).await;
    folds(&world, &bus, &[1, 2, 3]).await;
    no_alarm(&consumer).await;
}

#[tokio::test]
async fn a_partition_that_is_lost_while_its_records_are_applied_is_left_alone() {
    let (world, bus) = quiet_world().await;
    let (consumer, go) =
        held(&world, &bus, projections::erase::<Totals>(), [letter(0, 1), letter(1, 2).by(POISON)]).await;
    bus.delete_topic(TOPIC);
    let_others_run().await;
    drop(go);
    consumer.status.shows(|report| report.processed == 1).await;
    let_others_run().await;
    let report = consumer.status.report();
    assert_eq!(folded(&world), [1]);
    assert!(report.alarms.is_empty() && report.last_error.is_none(), "{report:?}");
}

#[tokio::test]
async fn a_partition_goes_to_its_next_owner_only_after_the_transaction_at_hand() {
    let (world, bus) = world();
    world.bus.ensure_topics(&[TopicSpec::new(TOPIC, 2).unwrap()]).await.unwrap();
    let moving = TopicPartition::new(TOPIC, 1);
    let records = [letter(0, 1), letter(1, 2)].map(|letter| (moving.clone(), letter.record())).into();
    bus.producer().await.unwrap().produce(records).await.unwrap();
    let (projection, begins, go) = hold(projections::erase::<Totals>());
    let _consumer = world.consumer_with(projection, Assignment::Group);
    applying(&begins).await;

    let options =
        ConsumerOptions { group: GROUP.to_owned(), topics: vec![TOPIC.into()], assignment: Assignment::Group };
    let mut next = bus.consumer(options).await.unwrap();
    let mut its_turn = Box::pin(async {
        let is_assigned = |event: &BusEvent| matches!(event, BusEvent::Assigned(all) if all.contains(&moving));
        while !is_assigned(&next.next().await.unwrap()) {}
        folded(&world)
    });
    tokio::select! {
        biased;
        _ = &mut its_turn => panic!("its records are still being applied"),
        () = let_others_run() => {}
    }
    drop(go);
    assert_eq!(its_turn.await, [1, 2]);
}
