use std::future::ready;

use super::*;
use crate::{
    read::MemoryReadStore,
    runtime::{Driver, ManualClock, Stopper, Task},
    store::{BoxFuture, MemoryStore, StoreError},
    testing::{FaultyStore, StoreCall},
};

/// One instance of a service, on a clock that all share.
struct Instance {
    holds: watch::Receiver<u64>,
    status: Status,
    stopper: Stopper,
    task: Task,
}

impl Instance {
    async fn start(runtime: &Runtime, stores: &Stores) -> Self {
        let lease =
            Lease::new("shop", stores.0.as_ref(), stores.1.as_ref(), runtime.clone()).expect("there is a store");
        let (holds, status) = (lease.holds(), lease.status().clone());
        let (start, (stopper, stop)) = (lease.begin().await, Stopper::new());
        let task = runtime.spawn(async move { drop(start(stop).await) });
        Self { holds, status, stopper, task }
    }

    fn state(&self) -> LoopState {
        self.status.report().state
    }

    /// Whether it has made sure that it holds the lease since this was asked last.
    fn has_held(&mut self) -> bool {
        let held = self.holds.has_changed().expect("the lease is there");
        self.holds.mark_unchanged();
        held
    }

    async fn stop(mut self) {
        self.stopper.stop();
        self.task.join().await.expect("it ends");
    }
}

type Stores = (Option<Arc<dyn EventStore>>, Option<Arc<dyn ReadStore>>);

fn every_kind() -> [Stores; 2] {
    [(Some(Arc::new(MemoryStore::new())), None), (None, Some(Arc::new(MemoryReadStore::new())))]
}

/// Time goes by, in steps in which everybody gets to do what is due.
async fn pass(clock: &ManualClock, time: Duration) {
    let step = LEASE_RENEWED_EVERY / 10;
    for _ in 0..time.as_micros() / step.as_micros() {
        clock.advance(step);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        // Read stores are asked on threads.
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

#[tokio::test]
async fn who_is_displaced_comes_back_only_when_the_other_renews_no_more() {
    for stores in every_kind() {
        let (runtime, clock) = Runtime::manual(1);
        let mut first = Instance::start(&runtime, &stores).await;
        assert!(first.has_held(), "before any loop starts");
        pass(&clock, LEASE_LASTS).await;
        let mut second = Instance::start(&runtime, &stores).await;
        assert!(second.has_held(), "who starts takes over at once");
        pass(&clock, LEASE_RENEWED_EVERY).await;
        assert!(first.has_held(), "as long as it was alone");
        for _ in 0..10 {
            pass(&clock, LEASE_LASTS).await;
            assert!(!first.has_held() && second.has_held(), "two that are alive do not take turns");
        }
        assert_eq!((first.state(), second.state()), (LoopState::StoodDown, LoopState::Live));

        second.task.abort();
        pass(&clock, LEASE_LASTS - LEASE_RENEWED_EVERY).await;
        assert!(!first.has_held(), "it has not run out yet");
        pass(&clock, LEASE_RENEWED_EVERY * 3).await;
        assert!(first.has_held());
        assert_eq!(first.state(), LoopState::Live);
    }
}

#[tokio::test]
async fn who_stops_gives_it_back_and_need_not_be_waited_for() {
    for stores in every_kind() {
        let (runtime, clock) = Runtime::manual(1);
        let mut first = Instance::start(&runtime, &stores).await;
        let second = Instance::start(&runtime, &stores).await;
        pass(&clock, LEASE_LASTS).await;
        assert_eq!((first.state(), second.state()), (LoopState::StoodDown, LoopState::Live));
        first.has_held();
        second.stop().await;
        pass(&clock, LEASE_RENEWED_EVERY * 2).await;
        assert!(first.has_held());
        first.stop().await;
    }
}

/// An instance whose renewal was done, but not answered, took what it had written itself for somebody else's.
#[tokio::test]
async fn a_renewal_whose_answer_is_lost_displaces_nobody() {
    let inner: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let lost = |call, nth| {
        let lost = call == StoreCall::AdvanceProgress && nth == 3;
        ready(if lost { Err(StoreError::Unavailable("no answer".into())) } else { Ok(()) })
    };
    let (store, shared) = FaultyStore::new(&inner).after(lost).shared();
    let (runtime, clock) = Runtime::manual(1);
    let mut only = Instance::start(&runtime, &(Some(shared), None)).await;
    for renewals in 2..20 {
        pass(&clock, LEASE_RENEWED_EVERY).await;
        assert_ne!(only.state(), LoopState::StoodDown, "after {renewals} renewals");
    }
    assert!(only.has_held() && store.count(StoreCall::AdvanceProgress) > 3);
}

/// Of two that started in the same moment, the one that came too late displaced the other 5 seconds later.
#[tokio::test]
async fn of_two_that_claim_it_at_once_the_first_to_be_displaced_waits() {
    let inner: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let other = Arc::new(Book::events(Arc::clone(&inner), "shop"));
    let (claimed, mut theirs) = tokio::sync::mpsc::unbounded_channel();
    let claims = Arc::clone(&other);
    let between = move |call, nth| {
        let (other, claimed) = (Arc::clone(&claims), claimed.clone());
        async move {
            if call == StoreCall::ClaimProgress && nth == 1 {
                let entry = other.claim(Uuid::from_u128(1)).await.expect("nobody is in between");
                claimed.send(entry).expect("the test waits for it");
            }
            Ok(())
        }
    };
    let (_, shared) = FaultyStore::new(&inner).after(between).shared();
    let (runtime, clock) = Runtime::manual(1);
    let mut late = Instance::start(&runtime, &(Some(shared), None)).await;
    let mut entry = theirs.recv().await.expect("it has claimed");
    for _ in 0..10 {
        entry.beat += 1;
        other.renew(&mut entry).await.expect("nobody displaces it");
        pass(&clock, LEASE_RENEWED_EVERY).await;
        assert!(!late.has_held());
    }
    assert_eq!(late.state(), LoopState::StoodDown);
    pass(&clock, LEASE_LASTS + LEASE_RENEWED_EVERY * 2).await;
    assert!(late.has_held());
}

/// A clock that is set while everything goes on.
#[derive(Clone)]
struct SetClock(ManualClock, Arc<std::sync::Mutex<crate::model::Timestamp>>);

impl Driver for SetClock {
    fn now(&self) -> crate::model::Timestamp {
        *self.1.lock().expect("nobody panics with it")
    }
    fn random(&self) -> u64 {
        self.0.random()
    }
    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        self.0.spawn(task)
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.0.blocking(work)
    }
}

#[tokio::test]
async fn a_clock_that_is_set_neither_ends_a_lease_nor_prolongs_it() {
    let (stores, (_, clock)) = (every_kind()[0].clone(), Runtime::manual(1));
    let start = Driver::now(&clock);
    let wall = Arc::new(std::sync::Mutex::new(start));
    let runtime = Runtime::new(Arc::new(SetClock(clock.clone(), Arc::clone(&wall))));
    let mut first = Instance::start(&runtime, &stores).await;
    let mut second = Instance::start(&runtime, &stores).await;
    pass(&clock, LEASE_LASTS).await;
    first.has_held();
    let an_hour = Duration::from_secs(3_600);
    for set in 1..10 {
        *wall.lock().expect("nobody panics with it") = start.plus(an_hour * set);
        pass(&clock, LEASE_RENEWED_EVERY).await;
        assert!(!first.has_held() && second.has_held(), "set forward");
    }
    second.task.abort();
    pass(&clock, LEASE_RENEWED_EVERY).await;
    *wall.lock().expect("nobody panics with it") = start;
    pass(&clock, LEASE_LASTS + LEASE_RENEWED_EVERY).await;
    assert!(first.has_held(), "set back");
}
