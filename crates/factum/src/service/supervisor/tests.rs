use std::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering},
};

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

fn supervisor() -> Supervisor {
    Supervisor::new(Runtime::tokio())
}

fn starts(body: impl Fn(Stop) -> BoxFuture<'static, LoopEnd> + Send + Sync + 'static) -> StartLoop {
    Arc::new(body)
}

#[tokio::test]
async fn stages_stop_in_order_and_each_waits_for_the_one_before() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut supervisor = supervisor();
    for (stage, name) in [(Stage::Projections, "last"), (Stage::Surfaces, "first"), (Stage::Relays, "second")] {
        let order = Arc::clone(&order);
        let start = starts(move |mut stop| {
            let order = Arc::clone(&order);
            Box::pin(async move {
                stop.stopped().await;
                tokio::task::yield_now().await;
                order.lock().expect("no test panicked").push(name);
                LoopEnd::Stopped
            })
        });
        supervisor.own(stage, Status::new(name), start);
    }
    assert_eq!(supervisor.stop(LIMIT).await, Ok(()));
    assert_eq!(*order.lock().expect("no test panicked"), ["first", "second", "last"]);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_panics_is_started_again_and_recovers() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let status = Status::new("stumbles");
    let (done, mut seen) = watch::channel(false);
    let start = starts(move |mut stop| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        let done = done.clone();
        Box::pin(async move {
            assert!(run >= 2, "stumbled");
            done.send_replace(true);
            stop.stopped().await;
            LoopEnd::Stopped
        })
    });
    let mut supervisor = supervisor();
    supervisor.own(Stage::Relays, status.clone(), start);
    seen.wait_for(|done| *done).await.expect("the loop reaches its third run");
    assert_eq!(supervisor.stop(LIMIT).await, Ok(()));
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    assert_eq!(status.report().state, LoopState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_never_recovers_ends_the_service_loudly() {
    let status = Status::new("broken");
    let mut supervisor = supervisor();
    supervisor.own(Stage::Relays, status.clone(), starts(|_| Box::pin(async { panic!("always") })));
    let reason = supervisor.failed().await;
    assert!(reason.contains("broken") && reason.contains("always"), "{reason}");
    assert_eq!(status.report().state, LoopState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_does_not_stop_is_aborted_within_the_limit_and_named() {
    let mut supervisor = supervisor();
    let (held, mut let_go) = tokio::sync::mpsc::channel::<()>(1);
    let held = Mutex::new(Some(held));
    let start = starts(move |_| {
        let held = held.lock().expect("no test panicked").take();
        Box::pin(async move {
            let _held = held;
            std::future::pending().await
        })
    });
    supervisor.own(Stage::Consumers, Status::new("stubborn"), start);
    let unclean = supervisor.stop(LIMIT).await.expect_err("must be reported");
    assert!(unclean[0].contains("stubborn"), "{unclean:?}");
    let gone = tokio::time::timeout(LIMIT, let_go.recv()).await;
    assert_eq!(gone, Ok(None), "what the loop held is let go of");
}

/// Two instances start at once. A loop of the one without the lease is late, and displaces that of the holder: it
/// waited for the lease to come back, which the service had all the time, and nobody worked any more when the other ended.
#[tokio::test(start_paused = true)]
async fn a_loop_that_is_displaced_returns_with_the_lease_that_its_service_still_holds() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let status = Status::new("late");
    let start = starts(move |mut stop| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if run == 0 {
                return LoopEnd::StoodDown;
            }
            stop.stopped().await;
            LoopEnd::Stopped
        })
    });
    let (lease, holds) = watch::channel(1);
    let mut supervisor = supervisor();
    supervisor.returns_with(holds);
    supervisor.own(Stage::Relays, status.clone(), start);
    tokio::time::sleep(LIMIT).await;
    assert_eq!((runs.load(Ordering::SeqCst), status.report().state), (1, LoopState::StoodDown), "nothing is sure yet");
    lease.send_modify(|holds| *holds += 1);
    tokio::time::sleep(LIMIT).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(supervisor.stop(LIMIT).await, Ok(()));
}
