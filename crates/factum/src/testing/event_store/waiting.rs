//! Waiting for the synced head, closing, and opening again.

use tokio::sync::oneshot;

use super::{Case, Store, all, append, command, event, head, join_all, position, request, spawn_all, stream};
use crate::{
    read::Epoch,
    store::{
        AppendError, Direction, ExpectedVersion, Identity, Position, Progress, ProgressError, RecordedEvent, Selection,
        StoreError, Subscription,
    },
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("waiting_ends_when_the_synced_head_is_beyond", |store| Box::pin(waiting_ends_when_the_head_is_beyond(store))),
    ("a_wait_that_was_given_up_harms_nobody", |store| Box::pin(a_wait_that_was_given_up_harms_nobody(store))),
    ("a_subscription_catches_up_and_then_follows", |store| Box::pin(a_subscription_follows(store))),
    ("a_closed_store_answers_closed", |store| Box::pin(a_closed_store_answers_closed(store))),
];

/// Lets other tasks run until a wait that was started before has surely begun.
async fn let_others_run() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn waiting_ends_when_the_head_is_beyond(store: Store) {
    const WAITERS: u64 = 16;
    append(&store, "account-1", [1, 2]).await;
    assert_eq!(ok(store.synced_beyond(Position::ZERO).await), position(2));
    assert_eq!(ok(store.synced_beyond(position(1)).await), position(2));
    let waiters = spawn_all(WAITERS, |_| {
        let store = store.clone();
        async move { ok(store.synced_beyond(position(2)).await) }
    });
    let_others_run().await;
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()), "nothing is beyond the head yet");
    append(&store, "account-1", [3]).await;
    for synced in join_all(waiters).await {
        assert_eq!(synced, position(3));
    }
}

async fn a_wait_that_was_given_up_harms_nobody(store: Store) {
    let waiters = spawn_all(8, |_| {
        let store = store.clone();
        async move { ok(store.synced_beyond(Position::ZERO).await) }
    });
    let_others_run().await;
    let kept = waiters.len() / 2;
    waiters.iter().skip(kept).for_each(tokio::task::JoinHandle::abort);
    let_others_run().await;
    append(&store, "account-1", [1]).await;
    for waiter in waiters.into_iter().take(kept) {
        assert_eq!(ok(waiter.await), position(1));
    }
}

async fn a_subscription_follows(store: Store) {
    const BEFORE: u64 = 7;
    const LIVE: u64 = 20;
    append(&store, "account-1", 1..=BEFORE).await;
    let mut subscription = Subscription::new(store.clone(), Selection::everything(), position(2));
    let follower = tokio::spawn(async move {
        let mut seen = Vec::new();
        while subscription.position() < position(BEFORE + LIVE) {
            // Given up and begun again now and then, as a loop does that also listens to a stop signal.
            tokio::select! {
                biased;
                batch = subscription.next(3) => seen.extend(ok(batch).events.iter().map(|event| event.position.get())),
                () = let_others_run() => {}
            }
        }
        seen
    });
    for number in 1..=LIVE {
        append(&store, "account-2", [number]).await;
    }
    assert_eq!(ok(follower.await), (3..=BEFORE + LIVE).collect::<Vec<_>>());
}

async fn a_closed_store_answers_closed(store: Store) {
    append(&store, "account-1", [1]).await;
    let epoch = ok(store.claim_progress("relay/a").await).epoch;
    let waiter = tokio::spawn({
        let store = store.clone();
        async move { store.synced_beyond(position(1)).await }
    });
    let_others_run().await;
    ok(store.close().await);
    ok(store.close().await);
    let woken = ok(waiter.await);
    assert!(matches!(woken, Err(StoreError::Closed)), "{woken:?}");
    let result = store.append(request().stream(stream("account-1"), ExpectedVersion::Any, vec![event(2)])).await;
    assert!(matches!(result, Err(AppendError::Store(StoreError::Closed))), "{result:?}");
    let result = store.advance_progress("relay/a", epoch, None, b"1").await;
    assert!(matches!(result, Err(ProgressError::Store(StoreError::Closed))), "{result:?}");
    let result = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1).await;
    assert!(matches!(result, Err(StoreError::Closed)), "{result:?}");
}

/// What the round before saw.
pub(super) struct Seen {
    identity: Identity,
    events: Vec<RecordedEvent>,
    progress: Progress,
}

/// One round: everything of the round before is there, and more is added.
pub(super) async fn reopened(store: Store, round: u64, before: Option<Seen>, tell: oneshot::Sender<Seen>) {
    let record = |round: u64| command(u128::from(round), 1);
    let append = |round| {
        let events = vec![event(round), event(round + 100)];
        request().stream(stream("account-1"), ExpectedVersion::Any, events).command(record(round))
    };
    if let Some(before) = before {
        assert_eq!(*store.identity(), before.identity);
        assert_eq!(all(&store).await, before.events);
        assert_eq!(ok(store.progress("relay/a").await), before.progress);
        let known = ok(store.command(record(round - 1).id).await);
        assert_eq!(known.map(|known| known.fingerprint), Some(record(round - 1).fingerprint));
        assert!(ok(store.append(append(round - 1)).await).repeated);
    }
    let first = head(&store).await.next();
    assert_eq!(ok(store.append(append(round)).await).first, first);
    let claimed = ok(store.claim_progress("relay/a").await);
    assert_eq!(claimed.epoch, Epoch(round), "every claim raises the epoch, also after reopening");
    let value = round.to_string().into_bytes();
    ok(store.advance_progress("relay/a", claimed.epoch, claimed.value.as_deref(), &value).await);
    let seen = Seen {
        identity: store.identity().clone(),
        events: all(&store).await,
        progress: Progress { epoch: claimed.epoch, value: Some(value) },
    };
    if round % 2 == 1 {
        ok(store.close().await);
    }
    drop(store);
    if tell.send(seen).is_err() {
        panic!("nobody waits for the end of the round");
    }
}
