//! Command ids: judged first, remembered with the append, never twice.

use super::{Case, Store, append, command, event, head, join_all, position, request, spawn_all, stream, version};
use crate::{
    store::{AppendError, ExpectedVersion, KnownCommand, Receipt},
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("a_repeated_command_gets_the_first_receipt", |store| Box::pin(a_repeated_command_gets_the_first_receipt(store))),
    ("a_reused_command_id_is_refused", |store| Box::pin(a_reused_command_id_is_refused(store))),
    ("a_command_that_conflicted_is_not_remembered", |store| Box::pin(a_conflict_is_not_remembered(store))),
    ("one_of_racing_repeats_is_appended", |store| Box::pin(one_of_racing_repeats_is_appended(store))),
];

async fn a_repeated_command_gets_the_first_receipt(store: Store) {
    let record = command(1, 1);
    assert_eq!(ok(store.command(record.id).await), None);
    append(&store, "account-1", [1]).await;
    let open = || {
        request()
            .stream(stream("account-2"), ExpectedVersion::NoStream, vec![event(2), event(3)])
            .stream(stream("account-3"), ExpectedVersion::NoStream, vec![event(4)])
            .command(record)
    };
    let first = ok(store.append(open()).await);
    assert!(!first.repeated);
    append(&store, "account-2", [5]).await;
    let repeated = Receipt { repeated: true, ..first };
    // Judged before the versions, which are not as expected any more.
    assert_eq!(ok(store.append(open()).await), repeated);
    assert_eq!(ok(store.append(open()).await), repeated);
    assert_eq!(head(&store).await, position(5));
    let known = KnownCommand { fingerprint: record.fingerprint, receipt: repeated };
    assert_eq!(ok(store.command(record.id).await), Some(known));
    assert_eq!(ok(store.command(command(2, 1).id).await), None);
}

async fn a_reused_command_id_is_refused(store: Store) {
    let deposit = |fingerprint, expected| {
        request().stream(stream("account-1"), expected, vec![event(1)]).command(command(1, fingerprint))
    };
    ok(store.append(deposit(1, ExpectedVersion::NoStream)).await);
    for expected in [ExpectedVersion::Any, ExpectedVersion::NoStream] {
        let result = store.append(deposit(2, expected)).await;
        assert!(matches!(result, Err(AppendError::CommandIdReused(id)) if id == command(1, 1).id), "{result:?}");
    }
    assert_eq!(head(&store).await, position(1));
}

async fn a_conflict_is_not_remembered(store: Store) {
    let deposit = |expected| request().stream(stream("account-1"), expected, vec![event(1)]).command(command(1, 1));
    let result = store.append(deposit(ExpectedVersion::StreamExists)).await;
    assert!(matches!(result, Err(AppendError::Conflict { .. })), "{result:?}");
    assert_eq!(ok(store.command(command(1, 1).id).await), None);
    let receipt = ok(store.append(deposit(ExpectedVersion::NoStream)).await);
    assert!(!receipt.repeated);
    assert_eq!(receipt.streams, [(stream("account-1"), version(1))]);
}

async fn one_of_racing_repeats_is_appended(store: Store) {
    const RACERS: u64 = 32;
    let tasks = spawn_all(RACERS, |_| {
        let store = store.clone();
        async move {
            let append = request().stream(stream("account-1"), ExpectedVersion::Any, vec![event(1)]);
            ok(store.append(append.command(command(1, 1))).await)
        }
    });
    let receipts = join_all(tasks).await;
    assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.last == position(1)), "{receipts:?}");
    assert_eq!(head(&store).await, position(1));
}
