//! The consumer fails, and is killed, between any two of its steps: each effect once, in order per key.

use factum::{consumer::ConsumerEnd, runtime::LoopState};

use crate::{
    faults::{Fault, Faults, faulty, killed_anywhere},
    world::{Running, World, eventually, raise_some, totals, world},
};

const ROUNDS: usize = 3;
const COUNTERS: usize = 4;

/// Waits until the consumer is to be killed, or has applied everything.
async fn died_before_arriving(world: &World, expected: &[u64], faults: &Faults) -> bool {
    let seen = || totals(world.read_store.as_ref()).into_iter().map(|total| total.total);
    let look = || if faults.take_death() { Some(true) } else { seen().eq(expected.iter().copied()).then_some(false) };
    eventually(look, || format!("{:?}: {:?}", faults.site(), seen().collect::<Vec<_>>())).await
}

/// One story: messages, a fault somewhere, more messages. Says where the fault was, if the story was long enough.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let (world, _bus) = world();
    let faults = Faults::new(at, fault);
    let relay = world.relay();
    let faulty = faulty(&world, &faults);
    let mut consumer = faulty.consumer();
    let mut expected = [0; COUNTERS];
    for _ in 0..ROUNDS {
        raise_some(world.store.as_ref(), &mut expected).await;
        while died_before_arriving(&world, &expected, &faults).await {
            consumer.kill().await;
            consumer = faulty.consumer();
        }
    }
    world.folded_once_and_in_order();
    let report = consumer.status.report();
    assert!(report.alarms.is_empty(), "call {at}, {fault:?} at {:?}: {:?}", faults.site(), report.alarms);
    faults.release();
    consumer.kill().await;
    relay.stop().await.unwrap();
    faults.site()
}

#[tokio::test]
async fn consumer_killed_anywhere() {
    let sites = [
        ("read_store.claim", 1),
        ("read_store.checkpoints", 1),
        ("bus.consumer", 1),
        ("consumer.next", 1),
        ("consumer.seek", 1),
        ("read_store.write", ROUNDS),
    ];
    killed_anywhere(&sites, story).await;
}

#[tokio::test]
async fn twin_consumer_alive() {
    let (world, _bus) = world();
    let relay = world.relay();
    let mut expected = [0; COUNTERS];
    let mut first = world.consumer();
    raise_some(world.store.as_ref(), &mut expected).await;
    world.shows(&expected).await;

    let second: Running<ConsumerEnd> = world.consumer();
    second.status.shows(|report| report.state == LoopState::Live).await;
    for _ in 0..3 {
        raise_some(world.store.as_ref(), &mut expected).await;
        world.shows(&expected).await;
    }
    let end = first.ended().await;
    assert!(matches!(end, Err(ConsumerEnd::StoodDown)), "{end:?}");
    world.folded_once_and_in_order();
    second.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn a_consumer_that_was_displaced_while_it_could_not_work_does_not_come_back() {
    let (world, _bus) = world();
    let relay = world.relay();
    let faults = Faults::none();
    let mut expected = [0; COUNTERS];
    let mut first = faulty(&world, &faults).consumer();
    raise_some(world.store.as_ref(), &mut expected).await;
    world.shows(&expected).await;
    faults.bus_is_down(true);
    raise_some(world.store.as_ref(), &mut expected).await;
    first.status.shows(|report| report.state == LoopState::BackingOff).await;

    let second = world.consumer();
    world.shows(&expected).await;
    faults.bus_is_down(false);
    first.status.shows(|report| report.state == LoopState::Live).await;
    raise_some(world.store.as_ref(), &mut expected).await;
    let end = first.ended().await;
    assert!(matches!(end, Err(ConsumerEnd::StoodDown)), "{end:?}");
    raise_some(world.store.as_ref(), &mut expected).await;
    world.shows(&expected).await;
    world.folded_once_and_in_order();
    second.stop().await.unwrap();
    relay.stop().await.unwrap();
}
