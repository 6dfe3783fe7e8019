//! Everything at once, by chance: relay and consumer fail and are killed, the broker loses records, and events go on.

use std::sync::Arc;

use crate::{
    faults::{Faults, faulty},
    world::{CounterEvent, POISON, Polished, Running, World, append, message, partitions, raise, world},
};
use factum::{
    bus::Offset,
    consumer::ConsumerEnd,
    read::MemoryReadStore,
    relay::RelayEnd,
    runtime::LoopState,
    store::{Direction, Position, Selection},
};

const SEEDS: u64 = 40;
const STEPS: u64 = 60;
const COUNTERS: u64 = 5;

struct Chaos {
    world: World,
    relay_faults: Faults,
    consumer_faults: Faults,
    relay: Running<RelayEnd>,
    consumer: Running<ConsumerEnd>,
    expected: [u64; COUNTERS as usize],
}

impl Chaos {
    /// Kills what a fault said is dead, and starts again what has ended.
    async fn bury(mut self) -> Self {
        if self.relay_faults.take_death() {
            self.relay.kill().await;
            self.relay = faulty(&self.world, &self.relay_faults).relay();
        }
        // A claim that a killed one had under way may still displace the next.
        let displaced = self.consumer.status.report().state == LoopState::StoodDown;
        if self.consumer_faults.take_death() || displaced {
            self.consumer.kill().await;
            self.consumer = faulty(&self.world, &self.consumer_faults).consumer();
        }
        self
    }

    async fn event(&mut self, chance: &mut fastrand::Rng) {
        let counter = chance.u64(..COUNTERS);
        if chance.u8(..4) == 0 {
            append(self.world.store.as_ref(), counter, CounterEvent::Polished(Polished {})).await;
        } else {
            let by = chance.u64(1..POISON);
            raise(self.world.store.as_ref(), counter, by).await;
            self.expected[usize::try_from(counter).unwrap()] += by;
        }
    }
}

#[tokio::test]
async fn chance_loses_nothing_and_doubles_nothing() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        story(seed).await;
    }
}

/// A consumer that has applied everything.
async fn undisturbed(world: &World, expected: &[u64]) -> Running<ConsumerEnd> {
    loop {
        let consumer = world.consumer();
        tokio::select! {
            () = world.shows(expected) => return consumer,
            () = consumer.status.shows(|report| report.state == LoopState::StoodDown) => {}
        }
    }
}

async fn story(seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let (world, bus) = world();
    for counter in 0..COUNTERS {
        raise(world.store.as_ref(), counter, 1).await;
    }
    let one_of = chance.u64(5..60);
    let (relay_faults, consumer_faults) = (Faults::by_chance(seed, one_of), Faults::by_chance(!seed, one_of));
    let relay = faulty(&world, &relay_faults).relay();
    let consumer = faulty(&world, &consumer_faults).consumer();
    let expected = [1; COUNTERS as usize];
    let mut chaos = Chaos { world, relay_faults, consumer_faults, relay, consumer, expected };
    for _ in 0..STEPS {
        for _ in 0..chance.u8(..4) {
            chaos.event(&mut chance).await;
        }
        for _ in 0..chance.u8(..40) {
            tokio::task::yield_now().await;
        }
        if chance.u8(..10) == 0 {
            let unlucky = partitions().nth(chance.usize(..3)).unwrap();
            let end = bus.records(&unlucky).len() as u64;
            bus.lose_records(&unlucky, Offset::new(chance.u64(end / 2..=end)));
        }
        chaos = chaos.bury().await;
    }

    // The storm is over: whatever is missing is noticed at the start at the latest.
    let Chaos { world, relay, consumer, expected, .. } = chaos;
    relay.kill().await;
    consumer.kill().await;
    let relay = world.relay();
    let consumer = undisturbed(&world, &expected).await;
    world.folded_once_and_in_order();
    consumer.status.shows(|report| report.alarms.is_empty()).await;

    // And a read model that starts from nothing comes to the same.
    let anew = World { read_store: Arc::new(MemoryReadStore::default()), ..world };
    let refilled = anew.consumer();
    anew.shows(&expected).await;
    anew.folded_once_and_in_order();
    refilled.status.shows(|report| report.alarms.is_empty()).await;
    let all = anew.store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 10_000).await.unwrap();
    let published = all.events.iter().filter(|event| &*event.name == "counter.raised").map(|event| event.position);
    let mut sent: Vec<_> = partitions().flat_map(|partition| bus.records(&partition)).collect();
    sent.sort_by_key(|record| message(record).position);
    let mut sent: Vec<_> = sent.iter().map(|record| message(record).position).collect();
    sent.dedup();
    assert!(published.eq(sent), "seed {seed}");
    for running in [consumer, refilled] {
        running.kill().await;
    }
    relay.stop().await.unwrap();
}
