//! Whether a read model is whole, or only a part of what is on the bus.

use factum::{
    bus::{BusError, Record},
    store::BoxFuture,
};

use super::*;

/// A new process knows nothing but what the read database says, which holds a part of what was there.
#[tokio::test]
async fn a_refill_that_a_restart_interrupted_is_still_one() {
    let (mut world, bus) = quiet_world().await;
    let key = ProjectionKey::of::<Totals>();
    send(&bus, (1..=5).map(|position| letter(position - 1, position))).await;
    send_junk(&bus).await;
    send(&bus, [letter(6, 7)]).await;
    for _ in 0..2 {
        world.watermarks = Arc::default();
        let consumer = world.consumer();
        alarm(&consumer, "stands still").await;
        assert!(matches!(world.watermarks.phase(key), Phase::Refilling { .. }), "{:?}", world.watermarks.phase(key));
        consumer.kill().await;
    }
    bus.lose_records(&home(), Offset::new(5));
    send(&bus, [letter(5, 6), letter(6, 7)]).await;
    let consumer = world.consumer();
    folds(&world, &bus, &[1, 2, 3, 4, 5, 6, 7]).await;
    consumer.status.shows(|report| report.state == LoopState::Live).await;
    send(&bus, [letter(7, 8)]).await;
    send_junk(&bus).await;
    alarm(&consumer, "stands still").await;
    consumer.kill().await;
    // Whole once, what it lacks is lag.
    world.watermarks = Arc::default();
    let consumer = world.consumer();
    alarm(&consumer, "stands still").await;
    assert_eq!(world.watermarks.phase(key), Phase::Live);
}

/// Shows every phase that a projection goes through.
async fn phases(world: &World, until: impl Fn(&[Phase]) -> bool) -> Vec<Phase> {
    let key = ProjectionKey::of::<Totals>();
    let mut seen = Vec::new();
    while !until(&seen) {
        let phase = world.watermarks.phase(key);
        if seen.last() != Some(&phase) {
            seen.push(phase);
        }
        tokio::task::yield_now().await;
    }
    seen
}

#[tokio::test]
async fn partitions_that_have_nothing_do_not_pass_for_the_others() {
    let (mut world, bus) = world();
    world.bus.ensure_topics(&[TopicSpec::new(TOPIC, 3).unwrap()]).await.unwrap();
    let last = TopicPartition::new(TOPIC, 2);
    let records = (1..=5).map(|position| (last.clone(), letter(position - 1, position).record())).collect();
    bus.producer().await.unwrap().produce(records).await.unwrap();
    // Every step of the consumer on the bus lets others look.
    world.bus = Arc::new(Unhurried(world.bus.clone()));
    let _consumer = world.consumer();
    let live_at = |seen: &[Phase]| seen.iter().position(|phase| *phase == Phase::Live);
    let seen = phases(&world, |seen| live_at(seen).is_some()).await;
    assert_eq!(folded(&world), [1, 2, 3, 4, 5], "{seen:?}");
}

/// A bus that takes its time to look at a partition's end, as one does that has to ask a broker.
struct Unhurried(Arc<dyn Bus>);

impl Bus for Unhurried {
    bus_passes_on!([0] ensure_topics partitions producer consumer close);

    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.0.tail(partition, below).await
        })
    }
}
