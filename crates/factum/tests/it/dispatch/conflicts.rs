//! Several want to change the same aggregate at once.

use std::{sync::Arc, time::Duration};

use factum::{
    CommandDispatcher, CommandReceipt, DispatchError, EventStore, ExpectedVersion, Runtime, Version,
    model::Decoded,
    testing::{FaultyStore, StoreCall},
};
use tokio::task::JoinSet;

use crate::{
    accounts::{
        AccountEvent, AccountRejection, Deposited, Withdrawn, builder, deposit, dispatcher, id, memory, on_every_store,
        open, with_balance, withdraw,
    },
    watched::everything,
    world::within,
};

/// A store on which somebody else deposits 1 before each of the first `times` appends.
fn contended(store: &Arc<dyn EventStore>, times: u64) -> (Arc<FaultyStore>, Arc<dyn EventStore>) {
    let rival = dispatcher(store);
    FaultyStore::new(store)
        .before(move |call, nth| {
            let rival = rival.clone();
            async move {
                if call == StoreCall::Append && nth <= times {
                    rival.dispatch(deposit(1)).await.unwrap();
                }
                Ok(())
            }
        })
        .shared()
}

/// The balance of the account by its events.
async fn balance(store: &dyn EventStore) -> u128 {
    everything(store).await.iter().fold(0, |sum, event| match event.decode() {
        Ok(Decoded::Known(AccountEvent::Deposited(Deposited { amount }))) => sum + amount,
        Ok(Decoded::Known(AccountEvent::Withdrawn(Withdrawn { amount }))) => sum - amount,
        _ => sum,
    })
}

#[tokio::test]
async fn who_comes_second_decides_again() {
    on_every_store(async |store| {
        with_balance(&store, 10).await;
        let (watched, busy) = contended(&store, 3);
        let receipt = dispatcher(&busy).dispatch(deposit(100)).await.unwrap();
        assert_eq!((watched.count(StoreCall::Append), receipt.version.get()), (4, 6));
        assert_eq!(balance(store.as_ref()).await, 113);
    })
    .await;
}

#[tokio::test]
async fn a_decision_that_came_too_late_is_taken_anew() {
    let store = memory();
    let rival = with_balance(&store, 10).await;
    let (watched, busy) = FaultyStore::new(&store)
        .before(move |call, nth| {
            let rival = rival.clone();
            async move {
                if (call, nth) == (StoreCall::Append, 1) {
                    rival.dispatch(withdraw(10)).await.unwrap();
                }
                Ok(())
            }
        })
        .shared();
    let no = dispatcher(&busy).dispatch(withdraw(10)).await;
    assert!(matches!(no, Err(DispatchError::Rejected(AccountRejection::InsufficientFunds))), "{no:?}");
    assert_eq!((watched.count(StoreCall::Append), balance(store.as_ref()).await), (1, 0));
}

#[tokio::test]
async fn who_is_always_second_is_told_so_in_the_end() {
    for attempts in [1, 2, 10] {
        let store = memory();
        with_balance(&store, 10).await;
        let (watched, busy) = contended(&store, u64::MAX);
        let commands = builder(&busy).attempts_max(attempts).build().unwrap();
        let given_up = commands.dispatch(deposit(100)).await;
        assert!(
            matches!(given_up, Err(DispatchError::Contended { attempts: told }) if told == attempts),
            "{given_up:?}"
        );
        assert_eq!(watched.count(StoreCall::Append), u64::from(attempts));
        assert_eq!(balance(store.as_ref()).await, 10 + u128::from(attempts));
    }
}

/// No wait after the last attempt: there is nothing to wait for.
#[tokio::test]
async fn giving_up_takes_no_time() {
    let store = memory();
    with_balance(&store, 10).await;
    let (runtime, clock) = Runtime::manual(5);
    let (_, busy) = contended(&store, u64::MAX);
    let commands = builder(&busy).attempts_max(1).runtime(runtime).build().unwrap();
    let given_up = within(commands.dispatch(deposit(100)).into_future()).await;
    assert!(matches!(given_up, Err(DispatchError::Contended { attempts: 1 })), "{given_up:?}");
    assert_eq!(clock.next_wake(), None);
}

#[tokio::test]
async fn a_version_that_was_asked_for_is_honoured() {
    on_every_store(async |store| {
        let commands = with_balance(&store, 10).await;
        let exactly = |version| ExpectedVersion::Exact(Version::new(version));
        for stale in [0, 1, 3, u64::MAX] {
            let no = commands.dispatch(deposit(1)).expecting(exactly(stale)).await;
            let Err(DispatchError::NotExpected { expected, actual }) = no else { panic!("{no:?}") };
            assert_eq!((expected, actual.get()), (exactly(stale), 2));
        }
        // Somebody gets in between the look and the append: told, and not tried again.
        for attempts in [1, 10] {
            let (watched, busy) = contended(&store, u64::MAX);
            let commands = builder(&busy).attempts_max(attempts).build().unwrap();
            let before = Version::new(everything(store.as_ref()).await.len() as u64);
            let no = commands.dispatch(deposit(100)).expecting(ExpectedVersion::Exact(before)).await;
            let Err(DispatchError::NotExpected { actual, .. }) = no else { panic!("{no:?}") };
            assert_eq!((actual, watched.count(StoreCall::Append)), (before.next(), 1));
        }
        assert_eq!(balance(store.as_ref()).await, 12);
    })
    .await;
}

#[tokio::test]
async fn a_stream_can_be_asked_to_exist_or_not_to() {
    let store = memory();
    let commands = dispatcher(&store);
    let absent = commands.dispatch(open()).expecting(ExpectedVersion::StreamExists).await;
    assert!(matches!(absent, Err(DispatchError::NotExpected { actual: Version::ZERO, .. })), "{absent:?}");
    commands.dispatch(open()).expecting(ExpectedVersion::NoStream).await.unwrap();
    let present = commands.dispatch(open()).expecting(ExpectedVersion::NoStream).await;
    assert!(matches!(present, Err(DispatchError::NotExpected { actual, .. }) if actual.get() == 1), "{present:?}");
    // A condition that still holds after a conflict is tried again.
    let (watched, busy) = contended(&store, 2);
    dispatcher(&busy).dispatch(deposit(7)).expecting(ExpectedVersion::StreamExists).await.unwrap();
    assert_eq!((watched.count(StoreCall::Append), balance(store.as_ref()).await), (3, 9));
}

type Outcome = Result<CommandReceipt, DispatchError<AccountRejection>>;

/// A hundred at once.
async fn hundred<F>(send: impl Fn() -> F) -> Vec<Outcome>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut sent = JoinSet::new();
    for _ in 0..100 {
        sent.spawn(send());
    }
    within(sent.join_all()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_for_one_aggregate_all_succeed() {
    on_every_store(async |inner| {
        let (watched, store) = FaultyStore::new(&inner).shared();
        let commands = with_balance(&store, 1).await;
        let outcomes = hundred(|| {
            let commands = commands.clone();
            async move { commands.dispatch(deposit(3)).await }
        });
        let mut versions: Vec<_> = outcomes.await.into_iter().map(|outcome| outcome.unwrap().version.get()).collect();
        versions.sort_unstable();
        assert_eq!(versions, (3..=102).collect::<Vec<_>>());
        assert_eq!(balance(inner.as_ref()).await, 301);
        // They take turns, and so do not conflict.
        assert_eq!(watched.count(StoreCall::Append), 102);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_that_saw_the_same_version_are_one_success() {
    on_every_store(async |store| {
        let commands = with_balance(&store, 1).await;
        let outcomes = hundred(|| {
            let commands = commands.clone();
            async move { commands.dispatch(deposit(3)).expecting(ExpectedVersion::Exact(Version::new(2))).await }
        })
        .await;
        let (accepted, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!((accepted.len(), balance(store.as_ref()).await), (1, 4));
        assert!(refused.iter().all(|no| matches!(no, Err(DispatchError::NotExpected { .. }))), "{refused:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_a_hundred_times_is_one_change() {
    on_every_store(async |store| {
        // Two processes on one store: their turns know nothing of each other.
        let processes = [with_balance(&store, 1).await, dispatcher(&store)];
        let next = std::sync::atomic::AtomicUsize::new(0);
        let outcomes = hundred(|| {
            let commands = processes[next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2].clone();
            async move { commands.dispatch(deposit(3)).command_id(id(9)).await }
        })
        .await;
        let receipts: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
        assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
        assert!(receipts.iter().all(|receipt| receipt.token() == receipts[0].token() && receipt.version.get() == 3));
        assert_eq!(balance(store.as_ref()).await, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_lose_nothing_to_each_other() {
    on_every_store(async |store| {
        with_balance(&store, 1).await;
        let process = || builder(&store).attempts_max(1_000).build().unwrap();
        let processes = [process(), process()];
        let next = std::sync::atomic::AtomicUsize::new(0);
        let outcomes = hundred(|| {
            let commands = processes[next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2].clone();
            async move { commands.dispatch(deposit(3)).await }
        })
        .await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(balance(store.as_ref()).await, 301);
    })
    .await;
}

/// Turns are a courtesy: who waits too long goes ahead, and the store judges.
#[tokio::test]
async fn a_turn_that_is_not_given_back_stops_nobody() {
    let store = memory();
    with_balance(&store, 1).await;
    let (runtime, clock) = Runtime::manual(5);
    let (watched, stuck) = FaultyStore::new(&store)
        .before(|call, nth| async move {
            if (call, nth) == (StoreCall::Append, 1) {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
        .shared();
    let commands = builder(&stuck).runtime(runtime).build().unwrap();
    let first = tokio::spawn(deposited(commands.clone(), 1));
    crate::world::eventually(|| (watched.count(StoreCall::Append) == 1).then_some(()), || "it hangs".to_owned()).await;
    let second = tokio::spawn(deposited(commands, 2));
    crate::world::eventually(|| clock.next_wake(), || "nobody waits for a turn".to_owned()).await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(within(second).await.unwrap().unwrap().version.get(), 3);
    first.abort();
    assert_eq!(balance(store.as_ref()).await, 3);
}

async fn deposited(commands: CommandDispatcher, amount: u128) -> Outcome {
    commands.dispatch(deposit(amount)).await
}
