//! Those outside are away, say no, hang, and the reactor itself is broken.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    sync::{Arc, Mutex},
    time::Duration,
};

use factum::{
    Delivery, Runtime,
    reactor::{EFFECT_TIME_MAX, EffectError, Outside, Reactions, Reactor, Since},
    runtime::LoopState,
};
use tokio::sync::Semaphore;

use super::{Receiver, Telling, arrives, raises, start};
use crate::world::{CounterEvent, Raised, World, eventually, raise, within, world};

#[tokio::test]
async fn who_is_away_is_told_later_in_order_and_nobody_else_waits() {
    let (world, _bus) = world();
    let tries = Arc::new(AtomicUsize::new(0));
    let receiver = Receiver::answering({
        let tries = Arc::clone(&tries);
        move |told| {
            let away = told.stream == "counter-1" && tries.fetch_add(1, Ordering::SeqCst) < 20;
            if away { Err(EffectError::Later("nobody answers".to_owned())) } else { Ok(()) }
        }
    });
    for counter in [1, 2, 1, 2, 1] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    let reactor = start(&world, Telling(receiver.clone()));
    arrives(&reactor, world.store.as_ref()).await;
    reactor.stop().await.unwrap();
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
    let first_of_one: Vec<_> = receiver.told().into_iter().filter(|told| told.stream == "counter-1").collect();
    // Twenty times in vain, always the first.
    assert!(first_of_one[..21].iter().all(|told| told.position == 1), "{first_of_one:?}");
    assert_eq!(first_of_one.len(), 23);
}

/// Nothing is left out: its stream waits, visibly, over restarts, until whoever refused takes it.
#[tokio::test]
async fn who_refuses_for_good_holds_up_one_stream_with_an_alarm() {
    let (world, _bus) = world();
    let refuses = |told: &super::Told| match told.position {
        1 => Err(EffectError::Never("410 Gone".to_owned())),
        _ => Ok(()),
    };
    let receiver = Receiver::answering(refuses);
    for counter in [1, 2, 1, 3] {
        raise(world.store.as_ref(), counter, 1).await;
    }
    for _ in 0..3 {
        let reactor = start(&world, Telling(receiver.clone()));
        within(reactor.status.shows(|report| report.alarms.contains_key("counter-1"))).await;
        let others = || receiver.firsts().len() == 3;
        eventually(|| others().then_some(()), || "the others are told".to_owned()).await;
        let report = reactor.status.report();
        let alarm = &report.alarms["counter-1"];
        assert!(alarm.starts_with("stands still at event 1") && alarm.contains("410 Gone"), "{alarm}");
        assert_eq!((report.state, report.position.get()), (LoopState::Live, 0));
        reactor.stop().await.unwrap();
    }
    let told = receiver.firsts();
    assert_eq!((&told["counter-1"], &told["counter-2"], &told["counter-3"]), (&vec![1], &vec![2], &vec![4]));
    let others = receiver.told().into_iter().filter(|told| told.stream != "counter-1").count();
    assert_eq!(others, 2, "what was done around it is not done again");

    receiver.answer(|_| Ok(()));
    let reactor = start(&world, Telling(receiver.clone()));
    arrives(&reactor, world.store.as_ref()).await;
    assert!(reactor.status.report().alarms.is_empty());
    reactor.stop().await.unwrap();
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
}

/// Mended while it runs, it goes on by itself.
#[tokio::test]
async fn a_stream_that_stands_still_goes_on_when_it_is_taken() {
    let (world, _bus) = world();
    let tries = AtomicUsize::new(0);
    let receiver = Receiver::answering(move |_| {
        let refused = tries.fetch_add(1, Ordering::SeqCst) < 3;
        if refused { Err(EffectError::Never("not you".to_owned())) } else { Ok(()) }
    });
    raise(world.store.as_ref(), 1, 1).await;
    raise(world.store.as_ref(), 1, 1).await;
    let reactor = start(&world, Telling(receiver.clone()));
    arrives(&reactor, world.store.as_ref()).await;
    assert!(reactor.status.report().alarms.is_empty());
    assert_eq!(receiver.told().iter().map(|told| told.position).collect::<Vec<_>>(), [1, 1, 1, 1, 2]);
    reactor.stop().await.unwrap();
}

/// Held up for long, it reads no further than it can remember, and goes on when it is let.
#[tokio::test]
async fn what_waits_for_one_stream_is_bounded() {
    let (world, _bus) = world();
    let receiver = Receiver::answering(|_| Err(EffectError::Never("closed".to_owned())));
    for _ in 0..2_000 {
        raise(world.store.as_ref(), 1, 1).await;
    }
    raise(world.store.as_ref(), 2, 1).await;
    let reactor = start(&world, Telling(receiver.clone()));
    within(reactor.status.shows(|report| !report.alarms.is_empty())).await;
    let tried = receiver.told().len();
    eventually(|| (receiver.told().len() > tried + 5).then_some(()), || "it is tried again".to_owned()).await;
    assert!(!receiver.firsts().contains_key("counter-2"), "it would have to remember 2,000 events");
    reactor.stop().await.unwrap();
    receiver.answer(|_| Ok(()));
    let reactor = start(&world, Telling(receiver.clone()));
    arrives(&reactor, world.store.as_ref()).await;
    reactor.stop().await.unwrap();
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
}

#[tokio::test]
async fn streams_are_worked_on_at_once_and_one_stream_in_order() {
    type Begun = Mutex<Vec<(String, u64)>>;
    #[derive(Clone)]
    struct Gated(Arc<(Begun, Semaphore)>);
    impl Reactor for Gated {
        const NAME: &'static str = "gated";
        const SINCE: Since = Since::Beginning;
        type Event = CounterEvent;
        type Effect = ();

        fn react(&self, _: &CounterEvent, _: &Delivery) -> Reactions<()> {
            Reactions::one(())
        }

        async fn perform(&self, (): &(), outside: &Outside) -> Result<(), EffectError> {
            let delivery = outside.delivery();
            self.0.0.lock().unwrap().push((delivery.stream.to_string(), delivery.position.get()));
            self.0.1.acquire().await.unwrap().forget();
            Ok(())
        }
    }
    let (world, _bus) = world();
    let world = World { runtime: Runtime::tokio(), ..world };
    for counter in (0..100).chain(0..100) {
        raise(world.store.as_ref(), counter, 1).await;
    }
    let gated = Gated(Arc::new((Mutex::default(), Semaphore::new(0))));
    let begun = || gated.0.0.lock().unwrap().clone();
    let reactor = start(&world, gated.clone());
    eventually(|| (begun().len() >= 64).then_some(()), || "many are begun".to_owned()).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(begun().len(), 64, "no more at once");
    gated.0.1.add_permits(200);
    arrives(&reactor, world.store.as_ref()).await;
    reactor.stop().await.unwrap();
    let mut of: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    begun().into_iter().for_each(|(stream, position)| of.entry(stream).or_default().push(position));
    assert!(of.values().all(|positions| positions.len() == 2 && positions.is_sorted()), "{of:?}");
}

#[tokio::test]
async fn who_hangs_is_given_up_and_told_again() {
    struct Hangs(Receiver, AtomicUsize);
    impl Reactor for Hangs {
        const NAME: &'static str = "hangs";
        const SINCE: Since = Since::Beginning;
        type Event = CounterEvent;
        type Effect = ();

        fn react(&self, _: &CounterEvent, _: &Delivery) -> Reactions<()> {
            Reactions::one(())
        }

        async fn perform(&self, (): &(), outside: &Outside) -> Result<(), EffectError> {
            self.0.tell("", outside)?;
            match self.1.fetch_add(1, Ordering::SeqCst) {
                0 => std::future::pending().await,
                _ => Ok(()),
            }
        }
    }
    let (runtime, clock) = Runtime::manual(1);
    let (world, _bus) = world();
    let world = World { runtime, ..world };
    raise(world.store.as_ref(), 1, 1).await;
    let receiver = Receiver::new();
    let reactor = start(&world, Hangs(receiver.clone(), AtomicUsize::new(0)));
    eventually(|| (receiver.told().len() == 1).then_some(()), || "it is told".to_owned()).await;
    clock.advance(EFFECT_TIME_MAX - Duration::from_millis(1));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(reactor.status.report().last_error, None, "it has time");
    clock.advance(Duration::from_millis(1));
    within(reactor.status.shows(|report| report.last_error.is_some())).await;
    clock.advance(Duration::from_secs(1));
    arrives(&reactor, world.store.as_ref()).await;
    assert_eq!((receiver.told().len(), receiver.distinct()), (2, 1));
    reactor.stop().await.unwrap();
}

/// The reactor's own code panics over one event, or cannot read it: that stream waits for a build that is mended.
#[tokio::test]
async fn a_reactor_that_panics_holds_up_that_stream_alone() {
    struct Broken(Receiver, bool);
    impl Reactor for Broken {
        const NAME: &'static str = "broken";
        const SINCE: Since = Since::Beginning;
        type Event = CounterEvent;
        type Effect = u64;

        fn react(&self, event: &CounterEvent, _: &Delivery) -> Reactions<u64> {
            let CounterEvent::Raised(Raised { by }) = event else { return Reactions::none() };
            assert!(self.1 || *by != 13, "thirteen");
            Reactions::one(*by)
        }

        async fn perform(&self, by: &u64, outside: &Outside) -> Result<(), EffectError> {
            assert!(self.1 || *by != 14, "fourteen");
            self.0.tell("", outside)
        }
    }
    let (world, _bus) = world();
    for (counter, by) in [(1, 13), (2, 14), (3, 1), (1, 1), (2, 1), (3, 1)] {
        raise(world.store.as_ref(), counter, by).await;
    }
    let receiver = Receiver::new();
    let broken = start(&world, Broken(receiver.clone(), false));
    within(broken.status.shows(|report| report.alarms.len() == 2)).await;
    eventually(|| (receiver.told().len() == 2).then_some(()), || "the third is told".to_owned()).await;
    let alarms = broken.status.report().alarms;
    assert!(alarms["counter-1"].contains("thirteen") && alarms["counter-2"].contains("fourteen"), "{alarms:?}");
    broken.stop().await.unwrap();
    let mended = start(&world, Broken(receiver.clone(), true));
    arrives(&mended, world.store.as_ref()).await;
    mended.stop().await.unwrap();
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
    assert_eq!(receiver.told().len(), 6);
}
