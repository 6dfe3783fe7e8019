//! Reactors to what other services publish.

use std::{collections::BTreeMap, sync::Arc};

use factum::{
    Delivery, Runtime, Service,
    bus::TopicPartition,
    reactor::{EffectError, Outside, Reactions, Reactor, Since},
    service::settle,
    store::{EventStore, MemoryStore},
};

use super::{Receiver, raises};
use crate::{
    restored::forked,
    world::{CounterMessage, Raised, TOPIC, World, raise, within, world},
};

macro_rules! hearing {
    ($name:ident, $since:expr) => {
        pub(super) struct $name(pub(super) Receiver);

        impl Reactor for $name {
            const NAME: &'static str = "hearing";
            const SINCE: Since = $since;
            const TOPICS: &'static [&'static str] = &[TOPIC];
            type Event = CounterMessage;
            type Effect = u64;

            fn react(&self, message: &CounterMessage, _: &Delivery) -> Reactions<u64> {
                let CounterMessage::Raised(Raised { by }) = message;
                Reactions::one(*by)
            }

            async fn perform(&self, _: &u64, outside: &Outside) -> Result<(), EffectError> {
                self.0.tell("", outside)
            }
        }
    };
}

hearing!(Hearing, Since::Beginning);
hearing!(HearingNews, Since::Now);

async fn settled(world: &World, store: &Arc<dyn EventStore>, reactor: impl Reactor) {
    let builder = Service::builder("shop", "mails").store(Arc::clone(store)).bus(world.bus.clone());
    let service = builder.runtime(Runtime::tokio()).reacts(reactor).start().await.unwrap();
    // Past its start: it has noted where it begins.
    within(async {
        while !service.health().readiness().ready {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(settle(&[&service])).await.unwrap();
    within(noted(world, store.as_ref())).await;
    drop(service);
}

const PROGRESS: &str = "reactor/hearing/shop.counters.counter.events";

/// Waits until everything published is behind the progress.
pub(super) async fn noted(world: &World, store: &dyn EventStore) {
    let Ok(partitions) = world.bus.partitions(TOPIC).await else { return };
    let mut ends = 0;
    for partition in 0..partitions {
        let tail = world.bus.tail(&TopicPartition::new(TOPIC, partition), None).await.unwrap();
        ends += tail.map_or(0, |tail| tail.offset.next().get());
    }
    loop {
        if let Some(value) = store.progress(PROGRESS).await.unwrap().value {
            let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
            let partitions = value["partitions"].as_object().unwrap().values();
            if partitions.map(|partition| partition["offset"].as_u64().unwrap_or(0)).sum::<u64>() == ends {
                return;
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reactor_to_topics_hears_each_message_once_and_goes_on_after_a_restart() {
    let (world, _bus) = world();
    let (store, receiver): (Arc<dyn EventStore>, _) = (Arc::new(MemoryStore::seeded(2)), Receiver::new());
    for round in 1..=3 {
        for counter in 0..5 {
            raise(world.store.as_ref(), counter, 1).await;
        }
        world.publishes().await;
        settled(&world, &store, Hearing(receiver.clone())).await;
        assert_eq!(receiver.told().len(), round * 5);
    }
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
    assert_eq!(receiver.distinct(), 15);
}

#[tokio::test]
async fn a_new_reactor_to_topics_lets_the_past_rest() {
    let (world, _bus) = world();
    let (store, receiver): (Arc<dyn EventStore>, _) = (Arc::new(MemoryStore::seeded(2)), Receiver::new());
    for counter in 0..5 {
        raise(world.store.as_ref(), counter, 1).await;
    }
    world.publishes().await;
    settled(&world, &store, HearingNews(receiver.clone())).await;
    assert_eq!(receiver.told(), []);
    // While it is not there; it is not new any more.
    for counter in 0..7 {
        raise(world.store.as_ref(), counter, 1).await;
    }
    world.publishes().await;
    settled(&world, &store, HearingNews(receiver.clone())).await;
    let expected: BTreeMap<_, _> = (0..7).map(|counter| (format!("counter-{counter}"), vec![counter + 6])).collect();
    assert_eq!((receiver.firsts(), receiver.told().len()), (expected, 7));
}

#[tokio::test]
async fn a_topic_that_is_not_there_yet_has_no_past() {
    let (world, _bus) = world();
    let (store, receiver): (Arc<dyn EventStore>, _) = (Arc::new(MemoryStore::seeded(2)), Receiver::new());
    settled(&world, &store, HearingNews(receiver.clone())).await;
    raise(world.store.as_ref(), 1, 1).await;
    world.publishes().await;
    settled(&world, &store, HearingNews(receiver.clone())).await;
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
}

/// What it did is outside: nothing in its own store could tell that it was done.
#[tokio::test]
async fn after_a_restore_of_its_own_store_the_whole_topic_is_not_told_again() {
    let (world, _bus) = world();
    let (store, receiver): (Arc<dyn EventStore>, _) = (Arc::new(MemoryStore::seeded(2)), Receiver::new());
    for counter in 0..5 {
        raise(world.store.as_ref(), counter, 1).await;
    }
    world.publishes().await;
    settled(&world, &store, Hearing(receiver.clone())).await;
    let value = store.progress(PROGRESS).await.unwrap().value.unwrap();
    let restored = crate::restored::named(MemoryStore::new(), forked(store.identity(), 0));
    let claimed = restored.claim_progress(PROGRESS).await.unwrap();
    restored.advance_progress(PROGRESS, claimed.epoch, None, &value).await.unwrap();
    raise(world.store.as_ref(), 1, 1).await;
    world.publishes().await;
    settled(&world, &restored, Hearing(receiver.clone())).await;
    assert_eq!((receiver.told().len(), receiver.distinct()), (6, 6));
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
}
