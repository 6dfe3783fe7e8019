//! Somebody outside refuses for good: the stream is parked, the others flow on, and operators decide.

use std::sync::Arc;

use factum::{
    Runtime, Service,
    quarantine::{Handled, Listed, Quarantine, QuarantineError},
    reactor::{EffectError, Reactor, ReactorEnd, ReactorRunner},
    service::settle,
    store::{EventStore, MemoryStore},
    testing::StoreCall,
};

use super::{Receiver, Telling, Told, arrives, raises, topics::Hearing};
use crate::{
    faults::{Fault, Faults, faulty, gated, killed_anywhere},
    operator::{because, operator},
    restored::{copy, forked, progress as relay_progress, put_progress as put_relay_progress},
    world::{Running, World, eventually, raise, running, within, world},
};

const HANDLER: &str = "reactor/telling";

fn refuses(position: u64) -> impl FnMut(&Told) -> Result<(), EffectError> + Send + 'static {
    move |told| if told.position == position { Err(EffectError::Never("410 Gone".to_owned())) } else { Ok(()) }
}

/// A reactor beside whom operators stand.
struct Ward {
    quarantine: Arc<Quarantine>,
    running: Running<ReactorEnd>,
}

impl Ward {
    fn open(world: &World, reactor: impl Reactor) -> Self {
        let quarantine = Arc::new(Quarantine::new(Some(world.store.clone()), world.runtime.clone()));
        let runner = ReactorRunner::new(reactor, world.store.clone(), world.runtime.clone()).quarantine(&quarantine);
        let running = running(runner.status().clone(), |stop| async move { runner.run(stop).await });
        Self { quarantine, running }
    }

    async fn parks(&self, keys: u64, messages: u64) {
        let parks = || {
            let report = self.running.status.report();
            ((report.parked_keys, report.parked_messages) == (keys, messages)).then_some(())
        };
        eventually(parks, || format!("{:?}", self.running.status.report())).await;
    }

    async fn listed(&self) -> Vec<Listed> {
        self.quarantine.list(100).await.unwrap()
    }

    async fn retry(&self, key: &str) -> Result<Handled, QuarantineError> {
        within(self.quarantine.retry(HANDLER, key, operator())).await
    }
}

#[tokio::test]
async fn who_refuses_for_good_is_passed_when_an_operator_says_so() {
    let (world, _bus) = world();
    let receiver = Receiver::answering(refuses(1));
    for counter in [1, 2, 1, 3] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    for _ in 0..2 {
        let ward = Ward::open(&world, Telling(receiver.clone()));
        ward.parks(1, 2).await;
        arrives(&ward.running, world.store.as_ref()).await;
        let report = ward.running.status.report();
        assert!(report.alarms["quarantine"].contains("410 Gone"), "{report:?}");
        ward.running.stop().await.unwrap();
    }
    assert_eq!(receiver.told().len(), 3, "what was parked is not tried at a start");
    let ward = Ward::open(&world, Telling(receiver.clone()));
    ward.parks(1, 2).await;
    // What comes later waits behind it.
    raise(world.store.as_ref(), 1, 1).await;
    ward.parks(1, 3).await;
    let failed = ward.retry("counter-1").await.unwrap();
    assert!(failed.left == 3 && failed.failed.unwrap().contains("410 Gone"));
    let Listed { handler, about, .. } = ward.listed().await.remove(0);
    assert_eq!((handler.as_str(), about.attempts, about.position), (HANDLER, 2, 1));
    let discarded = ward
        .quarantine
        .discard(HANDLER, "counter-1", about.event_id, because("nobody is there any more"), operator())
        .await;
    assert_eq!(discarded.unwrap(), Handled { done: 1, left: 2, failed: None });
    assert_eq!(ward.retry("counter-1").await.unwrap(), Handled { done: 2, left: 0, failed: None });
    arrives(&ward.running, world.store.as_ref()).await;
    assert!(ward.running.status.report().alarms.is_empty());
    ward.running.stop().await.unwrap();
    let told: Vec<_> = receiver.told().into_iter().filter(|told| told.stream == "counter-1").collect();
    let positions: Vec<_> = told.iter().map(|told| told.position).collect();
    assert_eq!(positions[..3], [1, 1, 3], "in order");
    assert_eq!(
        (positions.len(), receiver.firsts()["counter-2"].len(), receiver.firsts()["counter-3"].len()),
        (4, 1, 1)
    );
}

/// One story: somebody refuses, an operator tries again until it is taken; with a fault somewhere.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let (world, _bus) = world();
    let (faults, receiver) = (Faults::new(at, fault), Receiver::answering(refuses(1)));
    for counter in [1, 2, 1, 2] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    let harmed = faulty(&world, &faults);
    let mut ward = Ward::open(&harmed, Telling(receiver.clone()));
    let (mut dead, mut taken) = (false, false);
    let ends = async {
        loop {
            dead |= faults.take_death();
            if dead {
                ward.running.kill().await;
                (ward, dead) = (Ward::open(&harmed, Telling(receiver.clone())), false);
            }
            if !taken && ward.running.status.report().parked_messages == 2 {
                receiver.answer(|_| Ok(()));
                taken = true;
            }
            if taken {
                let mut asked = std::pin::pin!(ward.quarantine.retry(HANDLER, "counter-1", operator()));
                while !dead {
                    tokio::select! {
                        biased;
                        _ = &mut asked => break,
                        () = tokio::task::yield_now() => dead = faults.take_death(),
                    }
                }
            }
            let report = ward.running.status.report();
            if taken && receiver.firsts() == raises(world.store.as_ref()).await && report.parked_keys == 0 && !dead {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within(ends).await;
    assert_eq!(receiver.distinct(), 4);
    faults.site()
}

#[tokio::test]
async fn killed_anywhere_a_parked_stream_is_told_in_order() {
    killed_anywhere(&[("store.append", 3), ("store.read", 3), ("store.advance_progress", 1)], story).await;
}

#[tokio::test]
async fn of_a_topic_the_stream_is_parked_too() {
    let (world, _bus) = world();
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(2));
    let receiver = Receiver::answering(refuses(1));
    for counter in [1, 2, 1] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    world.publishes().await;
    let service = || async {
        let builder = Service::builder("shop", "mails").store(Arc::clone(&store)).bus(world.bus.clone());
        let service = builder.runtime(Runtime::tokio()).reacts(Hearing(receiver.clone())).start().await.unwrap();
        within(settle(&[&service])).await.unwrap();
        service
    };
    drop(service().await);
    let service = service().await;
    let Listed { handler, about, .. } = service.quarantine().list(10).await.unwrap().remove(0);
    assert_eq!((handler.as_str(), about.key.as_str(), about.messages), ("reactor/hearing", "counter-1", 2));
    assert!(about.topic.is_some());
    receiver.answer(|_| Ok(()));
    let handled = service.quarantine().retry("reactor/hearing", "counter-1", operator()).await.unwrap();
    assert_eq!(handled, Handled { done: 2, left: 0, failed: None });
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
    assert_eq!(receiver.told().len(), 4);
}

/// What the owner before parked after the new one had looked at what is parked, and before it took over.
#[tokio::test]
async fn who_takes_over_knows_what_was_parked_until_then() {
    let (world, _bus) = world();
    let receiver = Receiver::answering(refuses(1));
    let before = Ward::open(&world, Telling(receiver.clone()));
    arrives(&before.running, world.store.as_ref()).await;
    let (store, gate) = gated(&world.store);
    let ward = Ward::open(&World { store: store.clone(), ..world.clone() }, Telling(receiver.clone()));
    eventually(|| (store.count(StoreCall::ClaimProgress) == 1).then_some(()), || "it never takes over".to_owned())
        .await;
    raise(world.store.as_ref(), 1, 1).await;
    before.parks(1, 1).await;
    within(async {
        while !noted(world.store.as_ref()).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.add_permits(1);
    ward.parks(1, 1).await;
    raise(world.store.as_ref(), 1, 1).await;
    ward.parks(1, 2).await;
    assert_eq!(receiver.told().len(), 1);
    ward.running.stop().await.unwrap();
}

/// Whether progress has passed an event.
async fn noted(store: &dyn EventStore) -> bool {
    let value = store.progress(HANDLER).await.unwrap().value.unwrap_or_default();
    serde_json::from_slice(&value).is_ok_and(|value: serde_json::Value| value["read_to"].as_u64() >= Some(1))
}

/// That an event was parked is recorded in the store: a restore to before that must not lose it.
#[tokio::test]
async fn restored_to_before_something_was_parked_it_is_told_again() {
    let (world, _bus) = world();
    let receiver = Receiver::answering(refuses(1));
    for counter in [1, 2] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    let ward = Ward::open(&world, Telling(receiver.clone()));
    ward.parks(1, 1).await;
    arrives(&ward.running, world.store.as_ref()).await;
    ward.running.stop().await.unwrap();
    let progress = world.store.progress("reactor/telling").await.unwrap().value.unwrap();
    for (events, told) in [(2, ["counter-1", "counter-2"].as_slice()), (3, &[])] {
        let store = copy(world.store.as_ref(), events, forked(world.store.identity(), events)).await;
        let claimed = store.claim_progress("reactor/telling").await.unwrap();
        store.advance_progress("reactor/telling", claimed.epoch, None, &progress).await.unwrap();
        let world = World { store, ..world.clone() };
        let before = receiver.told().len();
        let ward = Ward::open(&world, Telling(receiver.clone()));
        ward.parks(1, 1).await;
        arrives(&ward.running, world.store.as_ref()).await;
        ward.running.stop().await.unwrap();
        let again: Vec<_> = receiver.told()[before..].iter().map(|told| told.stream.clone()).collect();
        assert_eq!(again, told, "restored to {events}");
    }
    assert_eq!(receiver.distinct(), 2);
}

#[tokio::test]
async fn of_a_topic_what_was_parked_is_told_again_after_such_a_restore() {
    const PROGRESS: &str = "reactor/hearing/shop.counters.counter.events";
    let (world, _bus) = world();
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(2));
    let receiver = Receiver::answering(refuses(3));
    for counter in [1, 2, 1, 2, 1] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    world.publishes().await;
    let start = async |store: &Arc<dyn EventStore>| {
        let builder = Service::builder("shop", "mails").store(Arc::clone(store)).bus(world.bus.clone());
        let service = builder.runtime(Runtime::tokio()).reacts(Hearing(receiver.clone())).start().await.unwrap();
        within(settle(&[&service])).await.unwrap();
        service
    };
    let service = start(&store).await;
    within(super::topics::noted(&world, store.as_ref())).await;
    drop(service);
    let progress = store.progress(PROGRESS).await.unwrap().value.unwrap();
    assert_eq!(receiver.told().len(), 4, "the last one stands behind the one that was refused");
    receiver.answer(|_| Ok(()));
    let restored = copy(store.as_ref(), 0, forked(store.identity(), 0)).await;
    let claimed = restored.claim_progress(PROGRESS).await.unwrap();
    restored.advance_progress(PROGRESS, claimed.epoch, None, &progress).await.unwrap();
    let service = start(&restored).await;
    assert!(service.quarantine().list(10).await.unwrap().is_empty());
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
    assert_eq!(receiver.told()[4..].iter().map(|told| told.position).collect::<Vec<_>>(), [3, 5]);
}

/// The lane on which it came has been left meanwhile: what comes on it counts as known otherwise.
#[tokio::test]
async fn of_a_topic_what_was_parked_is_told_again_also_when_its_source_was_restored_since() {
    const PROGRESS: &str = "reactor/hearing/shop.counters.counter.events";
    let (mut world, _bus) = world();
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(2));
    let receiver = Receiver::answering(refuses(3));
    for counter in [1, 2, 1, 2, 1] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    world.publishes().await;
    let start = async |world: &World, store: &Arc<dyn EventStore>| {
        let builder = Service::builder("shop", "mails").store(Arc::clone(store)).bus(world.bus.clone());
        let service = builder.runtime(Runtime::tokio()).reacts(Hearing(receiver.clone())).start().await.unwrap();
        within(settle(&[&service])).await.unwrap();
        within(super::topics::noted(world, store.as_ref())).await;
        service
    };
    drop(start(&world, &store).await);
    for restore in [1, 2] {
        let events = world.store.heads().await.unwrap().synced.get();
        let published = relay_progress(world.store.as_ref()).await;
        world.store = copy(world.store.as_ref(), events, forked(world.store.identity(), events)).await;
        put_relay_progress(world.store.as_ref(), &published).await;
        for counter in [1, 2] {
            raise(world.store.as_ref(), counter, restore).await;
        }
        world.publishes().await;
        drop(start(&world, &store).await);
    }
    let before = receiver.told().len();
    assert_eq!(before, 6, "what comes of the counter stands behind the one that was refused");
    receiver.answer(|_| Ok(()));
    let progress = store.progress(PROGRESS).await.unwrap().value.unwrap();
    let restored = copy(store.as_ref(), 0, forked(store.identity(), 0)).await;
    let claimed = restored.claim_progress(PROGRESS).await.unwrap();
    restored.advance_progress(PROGRESS, claimed.epoch, None, &progress).await.unwrap();
    for _ in 0..2 {
        let service = start(&world, &restored).await;
        assert!(service.quarantine().list(10).await.unwrap().is_empty());
    }
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
    let again = receiver.told().into_iter().skip(before).filter(|told| told.stream == "counter-1");
    assert_eq!(again.map(|told| told.position).collect::<Vec<_>>(), [3, 5, 6, 8]);
}
