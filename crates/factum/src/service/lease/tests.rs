use super::*;
use crate::{
    read::MemoryReadStore,
    runtime::{ManualClock, Stopper, Task},
    store::MemoryStore,
};

/// One instance of a service, on a clock that all share.
struct Instance {
    claims: watch::Receiver<u64>,
    status: Status,
    stopper: Stopper,
    task: Task,
}

impl Instance {
    async fn start(runtime: &Runtime, stores: &Stores) -> Self {
        let lease =
            Lease::new("shop", stores.0.as_ref(), stores.1.as_ref(), runtime.clone()).expect("there is a store");
        let (claims, status) = (lease.claims(), lease.status().clone());
        let (start, (stopper, stop)) = (lease.begin().await, Stopper::new());
        let task = runtime.spawn(async move { drop(start(stop).await) });
        Self { claims, status, stopper, task }
    }

    fn claimed(&self) -> u64 {
        *self.claims.borrow()
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
        let first = Instance::start(&runtime, &stores).await;
        assert_eq!(first.claimed(), 1, "before any loop starts");
        pass(&clock, LEASE_LASTS).await;
        let second = Instance::start(&runtime, &stores).await;
        assert_eq!(second.claimed(), 1, "who starts takes over at once");
        pass(&clock, LEASE_LASTS * 10).await;
        assert_eq!((first.claimed(), second.claimed()), (1, 1), "two that are alive do not take turns");
        assert_eq!(first.status.report().state, LoopState::StoodDown);

        second.task.abort();
        pass(&clock, LEASE_LASTS - LEASE_RENEWED_EVERY).await;
        assert_eq!(first.claimed(), 1, "it has not run out yet");
        pass(&clock, LEASE_RENEWED_EVERY * 3).await;
        assert_eq!(first.claimed(), 2);
        assert_eq!(first.status.report().state, LoopState::Live);
    }
}

#[tokio::test]
async fn who_stops_gives_it_back_and_need_not_be_waited_for() {
    for stores in every_kind() {
        let (runtime, clock) = Runtime::manual(1);
        let first = Instance::start(&runtime, &stores).await;
        let second = Instance::start(&runtime, &stores).await;
        pass(&clock, LEASE_LASTS).await;
        assert_eq!((first.claimed(), second.claimed()), (1, 1));
        second.stop().await;
        pass(&clock, LEASE_RENEWED_EVERY * 2).await;
        assert_eq!(first.claimed(), 2);
        first.stop().await;
    }
}
