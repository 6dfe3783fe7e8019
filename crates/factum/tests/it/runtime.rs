//! Time, chance and blocking work come from one handle, which a test can drive.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use factum::{
    Runtime,
    runtime::{Backoff, Stopper, TaskFailure},
};

use crate::world::{eventually, within};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test]
async fn sleepers_wake_in_the_order_of_their_times() {
    let (runtime, clock) = Runtime::manual(1);
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    // Two at the same time wake in the order in which they went to sleep.
    for (name, time) in [("e", 50), ("c", 30), ("a", 10), ("d", 30), ("b", 20)] {
        let (sleep, woken) = (runtime.sleep(secs(time)), Arc::clone(&woken));
        tasks.push(runtime.spawn(async move {
            sleep.await;
            woken.lock().unwrap().push(name);
        }));
    }
    let start = runtime.now();
    assert_eq!(clock.next_wake(), Some(start.plus(secs(10))));
    clock.advance(secs(9));
    tokio::task::yield_now().await;
    assert!(woken.lock().unwrap().is_empty());
    clock.advance(secs(31));
    assert_eq!(runtime.now(), start.plus(secs(40)));
    eventually(|| (woken.lock().unwrap().len() == 4).then_some(()), || "four must wake".to_owned()).await;
    assert_eq!(*woken.lock().unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(clock.next_wake(), Some(start.plus(secs(50))));
    clock.advance(secs(10));
    for mut task in tasks {
        within(task.join()).await.unwrap();
    }
    assert_eq!((woken.lock().unwrap().last(), clock.next_wake()), (Some(&"e"), None));
}

#[tokio::test]
async fn a_sleep_that_was_given_up_is_forgotten() {
    let (runtime, clock) = Runtime::manual(1);
    drop(runtime.sleep(secs(1)));
    assert_eq!(clock.next_wake(), None);
    // No time at all is over at once, without anybody moving the clock.
    within(runtime.sleep(Duration::ZERO)).await;
    let over_already = runtime.sleep(secs(1));
    clock.advance(secs(1));
    within(over_already).await;
}

#[tokio::test]
async fn a_limit_ends_a_wait_and_nothing_else() {
    let (runtime, clock) = Runtime::manual(1);
    assert_eq!(runtime.within(Duration::ZERO, async { 7 }).await, Some(7));
    let mut waiting = Box::pin(runtime.within(secs(5), std::future::pending::<()>()));
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("no time has passed"),
        () = tokio::task::yield_now() => {}
    }
    clock.advance(secs(5));
    assert_eq!(within(waiting).await, None);
}

#[tokio::test]
async fn a_panic_in_blocking_work_is_an_error_with_its_words() {
    for runtime in [Runtime::tokio(), Runtime::manual(1).0] {
        assert_eq!(runtime.blocking(|| 7).await, Ok(7));
        let text = runtime.blocking(|| -> u8 { panic!("it hurts") }).await;
        assert_eq!(text, Err(TaskFailure::Panicked("it hurts".to_owned())));
        let formatted = runtime.blocking(|| -> u8 { panic!("it hurts {}", 7) }).await;
        assert_eq!(formatted, Err(TaskFailure::Panicked("it hurts 7".to_owned())));
        let odd = runtime.blocking(|| -> u8 { std::panic::panic_any(7) }).await;
        assert_eq!(odd, Err(TaskFailure::Panicked("a panic without a message".to_owned())));
    }
}

#[tokio::test]
async fn a_task_that_fails_says_how() {
    let runtime = Runtime::tokio();
    assert_eq!(runtime.spawn(async {}).join().await, Ok(()));
    let mut panics = runtime.spawn(async { panic!("it hurts") });
    assert_eq!(within(panics.join()).await, Err(TaskFailure::Panicked("it hurts".to_owned())));
    let mut endless = runtime.spawn(std::future::pending());
    endless.abort();
    assert_eq!(within(endless.join()).await, Err(TaskFailure::Aborted));
}

#[test]
fn waits_stay_within_their_bounds_whatever_chance_says() {
    for seed in 0..50 {
        let (runtime, _clock) = Runtime::manual(seed);
        let (first, max) = (Duration::from_micros(500), Duration::from_millis(50));
        let mut backoff = Backoff::new(first, max);
        for failures in 0..100 {
            assert_eq!(backoff.failures(), failures);
            let step = (first * 2_u32.pow(failures.min(16))).min(max);
            let wait = backoff.next(&runtime);
            assert!(wait >= step / 2 && wait <= step, "seed {seed}, failure {failures}: {wait:?}");
        }
        let (mut later, mut again) = (Backoff::new(first, max).after(3), Backoff::new(first, max));
        assert!((first * 4..=first * 8).contains(&later.next(&runtime)));
        again.reset();
        assert!(again.next(&runtime) <= first);
        assert!(Backoff::new(Duration::MAX, Duration::MAX).next(&runtime) > Duration::from_secs(1 << 40));
    }
}

#[test]
fn chance_and_ids_follow_from_the_seed() {
    let ids = |seed| {
        let (runtime, clock) = Runtime::manual(seed);
        let ids: Vec<_> = (0..100)
            .map(|_| {
                clock.advance(Duration::from_millis(1));
                runtime.new_id()
            })
            .collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "ids sort by time");
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert!((0..1_000).all(|_| runtime.random_below(3) < 3) && runtime.random_below(0) == 0);
        ids
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
}

#[tokio::test]
async fn a_stop_is_heard_by_all_and_never_taken_back() {
    let (stopper, mut stop) = Stopper::new();
    let mut other = stop.clone();
    assert!(!stop.is_stopped());
    assert_eq!(stop.unless(async { 7 }).await, Some(7));
    stopper.stop();
    stopper.stop();
    assert!(stop.is_stopped() && other.is_stopped());
    assert_eq!(stop.unless(std::future::pending::<()>()).await, None);
    within(other.stopped()).await;
    // Who drops the signal stops everybody, too.
    let (stopper, mut stop) = Stopper::new();
    drop(stopper);
    assert!(stop.is_stopped());
    within(stop.stopped()).await;
}
