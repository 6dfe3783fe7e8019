//! States kept between commands: faster, and never a reason to decide wrongly.

use std::sync::Arc;

use factum::{
    DispatchError, EventStore, ExpectedVersion, Version,
    testing::{FaultyStore, StoreCall},
};
use uuid::Uuid;

use crate::{
    accounts::{
        ACCOUNT, AccountRejection, CloseAccount, OpenAccount, builder, deposit, dispatcher, memory, on_every_store,
        open, with_balance, withdraw,
    },
    watched::everything,
};

fn watched() -> (Arc<FaultyStore>, Arc<dyn EventStore>, Arc<dyn EventStore>) {
    let inner = memory();
    let (watched, store) = FaultyStore::new(&inner).shared();
    (watched, store, inner)
}

#[tokio::test]
async fn a_stream_is_read_once_and_its_commands_decide_on_what_was_kept() {
    let (watched, store, _) = watched();
    let commands = with_balance(&store, 10).await;
    let read = watched.count(StoreCall::ReadStream);
    for _ in 0..5 {
        commands.dispatch(withdraw(1)).await.unwrap();
    }
    assert_eq!(watched.count(StoreCall::ReadStream), read, "nothing is read for what is known");
    let no = commands.dispatch(withdraw(6)).await;
    assert!(matches!(no, Err(DispatchError::Rejected(AccountRejection::InsufficientFunds))), "{no:?}");
    commands.dispatch(withdraw(5)).await.unwrap();
}

#[tokio::test]
async fn a_no_on_a_kept_state_is_checked_against_the_store() {
    on_every_store(async |store| {
        let commands = with_balance(&store, 10).await;
        // Somebody else, who keeps states of their own.
        let other = dispatcher(&store);
        other.dispatch(deposit(90)).await.unwrap();
        commands.dispatch(withdraw(100)).await.unwrap();
        let no = other.dispatch(withdraw(1)).await;
        assert!(matches!(no, Err(DispatchError::Rejected(AccountRejection::InsufficientFunds))), "{no:?}");
    })
    .await;
}

#[tokio::test]
async fn nothing_to_do_and_another_version_are_checked_as_well() {
    let store = memory();
    let commands = with_balance(&store, 10).await;
    let other = dispatcher(&store);
    other.dispatch(deposit(1)).await.unwrap();
    let at = |version| ExpectedVersion::Exact(Version::new(version));
    commands.dispatch(deposit(1)).expecting(at(3)).await.unwrap();
    let no = other.dispatch(deposit(1)).expecting(at(3)).await;
    assert!(matches!(no, Err(DispatchError::NotExpected { actual, .. }) if actual == Version::new(4)), "{no:?}");
    other.dispatch(CloseAccount { account_id: ACCOUNT }).await.unwrap();
    let receipt = commands.dispatch(CloseAccount { account_id: ACCOUNT }).await.unwrap();
    assert_eq!(receipt.version, Version::new(5), "closed by the other one already");
    assert_eq!(everything(store.as_ref()).await.len(), 5);
}

#[tokio::test]
async fn a_decision_on_a_state_that_is_behind_conflicts_and_is_taken_again() {
    let (watched, store, inner) = watched();
    let commands = with_balance(&store, 10).await;
    dispatcher(&inner).dispatch(withdraw(10)).await.unwrap();
    let appends = watched.count(StoreCall::Append);
    let no = commands.dispatch(withdraw(10)).await;
    assert!(matches!(no, Err(DispatchError::Rejected(AccountRejection::InsufficientFunds))), "{no:?}");
    assert_eq!(watched.count(StoreCall::Append), appends + 1, "the store refused the first decision");
}

#[tokio::test]
async fn as_many_states_are_kept_as_allowed() {
    let account = |number| OpenAccount { account_id: Some(Uuid::from_u128(number)), ..open() };
    for (kept, reads) in [(0, 5), (1, 3), (2, 2)] {
        let (watched, store, _) = watched();
        let commands = builder(&store).cached_aggregates_max(kept).build().unwrap();
        commands.dispatch(account(1)).await.unwrap();
        commands.dispatch(account(2)).await.unwrap();
        let deposit = |number| crate::accounts::Deposit { account_id: Uuid::from_u128(number), amount: 1 };
        for number in [2, 2, 1] {
            commands.dispatch(deposit(number)).await.unwrap();
        }
        assert_eq!(watched.count(StoreCall::ReadStream), reads, "{kept} kept");
    }
}

/// Reads of streams, when two accounts have commands in turn.
async fn reads_in_turn(deposits: u64, bytes_max: usize) -> u64 {
    let (watched, store, _) = watched();
    let commands = builder(&store).cached_bytes_max(bytes_max).build().unwrap();
    for number in [1, 2] {
        commands.dispatch(OpenAccount { account_id: Some(Uuid::from_u128(number)), ..open() }).await.unwrap();
    }
    let before = watched.count(StoreCall::ReadStream);
    for number in (0..deposits).flat_map(|_| [1, 2]) {
        let account_id = Uuid::from_u128(number);
        commands.dispatch(crate::accounts::Deposit { account_id, amount: 1 }).await.unwrap();
    }
    watched.count(StoreCall::ReadStream) - before
}

#[tokio::test]
async fn states_are_kept_in_as_many_bytes_as_allowed() {
    const ENOUGH_FOR_ONE: usize = 600;
    assert_eq!(reads_in_turn(10, 0).await, 20, "none is kept");
    assert_eq!(reads_in_turn(10, ENOUGH_FOR_ONE).await, 20, "the other one had to give way, every time");
    assert_eq!(reads_in_turn(10, 100 * ENOUGH_FOR_ONE).await, 0, "both are kept");
    // What happens to them counts: they grow out of it.
    let reads = reads_in_turn(100, 3 * ENOUGH_FOR_ONE).await;
    assert!((1..200).contains(&reads), "{reads}");
}
