//! Progress: kept by name, moved by its owner from where it left it.

use std::collections::BTreeSet;

use super::{Case, Store, join_all, spawn_all};
use crate::{
    read::Epoch,
    store::{Progress, ProgressError},
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("progress_moves_only_from_where_it_is", |store| Box::pin(progress_moves_only_from_where_it_is(store))),
    ("a_claim_of_progress_fences_the_owner_before", |store| Box::pin(a_claim_fences_the_owner_before(store))),
    ("racing_claims_get_epochs_of_their_own", |store| Box::pin(racing_claims_get_epochs_of_their_own(store))),
    ("progress_names_are_only_names", |store| Box::pin(progress_names_are_only_names(store))),
    ("progress_has_limits", |store| Box::pin(progress_has_limits(store))),
];

const NAME: &str = "relay/bank.accounts.account.events";
const VALUE_BYTES_MAX: usize = 64 << 10;
const NAME_BYTES_MAX: usize = 200;

async fn progress_moves_only_from_where_it_is(store: Store) {
    assert_eq!(ok(store.progress(NAME).await), Progress { epoch: Epoch(0), value: None });
    let claimed = ok(store.claim_progress(NAME).await);
    assert_eq!(claimed, Progress { epoch: Epoch(1), value: None });
    let epoch = claimed.epoch;
    let moved = |result: Result<(), ProgressError>| {
        assert!(matches!(&result, Err(ProgressError::Moved(name)) if name == NAME), "{result:?}");
    };
    moved(store.advance_progress(NAME, epoch, Some(b"1"), b"2").await);
    moved(store.advance_progress(NAME, epoch, Some(b""), b"2").await);
    ok(store.advance_progress(NAME, epoch, None, b"1").await);
    moved(store.advance_progress(NAME, epoch, None, b"2").await);
    moved(store.advance_progress(NAME, epoch, Some(b"10"), b"2").await);
    assert_eq!(ok(store.progress(NAME).await).value.as_deref(), Some(&b"1"[..]));
    // Empty is a value, other than none.
    ok(store.advance_progress(NAME, epoch, Some(b"1"), b"").await);
    moved(store.advance_progress(NAME, epoch, None, b"2").await);
    ok(store.advance_progress(NAME, epoch, Some(b""), b"\0\xff").await);
    assert_eq!(ok(store.progress(NAME).await), Progress { epoch, value: Some(b"\0\xff".to_vec()) });
}

async fn a_claim_fences_the_owner_before(store: Store) {
    let displaced = ok(store.claim_progress(NAME).await).epoch;
    ok(store.advance_progress(NAME, displaced, None, b"1").await);
    let owner = ok(store.claim_progress(NAME).await);
    assert_eq!(owner.value.as_deref(), Some(&b"1"[..]), "a claim takes over what is there");
    assert!(owner.epoch > displaced);
    for epoch in [displaced, Epoch(owner.epoch.0 + 1)] {
        // Being displaced is what it learns, whatever it believes about the value.
        for previous in [Some(&b"1"[..]), None] {
            let result = store.advance_progress(NAME, epoch, previous, b"2").await;
            let fenced = matches!(&result, Err(ProgressError::Fenced { name, epoch: named, current })
                if name == NAME && *named == epoch.0 && *current == owner.epoch.0);
            assert!(fenced, "{result:?}");
        }
    }
    ok(store.advance_progress(NAME, owner.epoch, Some(b"1"), b"2").await);
}

async fn racing_claims_get_epochs_of_their_own(store: Store) {
    const CLAIMS: u64 = 8;
    let tasks = spawn_all(CLAIMS, |_| {
        let store = store.clone();
        async move { ok(store.claim_progress(NAME).await).epoch }
    });
    let epochs: BTreeSet<Epoch> = join_all(tasks).await.into_iter().collect();
    assert_eq!(epochs, (1..=CLAIMS).map(Epoch).collect());
}

async fn progress_names_are_only_names(store: Store) {
    let longest = "n".repeat(NAME_BYTES_MAX);
    let names = [
        "relay/a",
        "relay/A",
        "relay",
        "relay/",
        "relay_a",
        "relay/a.tmp",
        "../relay",
        "..",
        ".",
        "/",
        "%2f",
        "ü",
        "'; DROP TABLE progress; --",
        "con",
        &longest,
        &longest[1..],
    ];
    for (number, name) in (0..).zip(names) {
        for _ in 0..=number {
            ok(store.claim_progress(name).await);
        }
        ok(store.advance_progress(name, Epoch(number + 1), None, name.as_bytes()).await);
    }
    for (number, name) in (0..).zip(names) {
        let value = Some(name.as_bytes().to_vec());
        assert_eq!(ok(store.progress(name).await), Progress { epoch: Epoch(number + 1), value }, "{name}");
    }
}

async fn progress_has_limits(store: Store) {
    let refused = |result: Result<(), ProgressError>| {
        assert!(matches!(result, Err(ProgressError::Refused(_))), "{result:?}");
    };
    let epoch = ok(store.claim_progress(NAME).await).epoch;
    refused(store.advance_progress(NAME, epoch, None, &vec![0; VALUE_BYTES_MAX + 1]).await);
    assert_eq!(ok(store.progress(NAME).await).value, None);
    let largest = vec![7; VALUE_BYTES_MAX];
    ok(store.advance_progress(NAME, epoch, None, &largest).await);
    assert_eq!(ok(store.progress(NAME).await).value, Some(largest));
    for name in ["", "relay\0", &"n".repeat(NAME_BYTES_MAX + 1)] {
        refused(store.claim_progress(name).await.map(|_| ()));
        refused(store.advance_progress(name, epoch, None, b"1").await);
        refused(store.progress(name).await.map(|_| ()));
    }
}
