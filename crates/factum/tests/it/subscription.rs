//! Ordered delivery from a store: what is there, then what comes.

use std::sync::Arc;

use factum::{
    Position,
    store::{Selection, StoreError, Subscription},
};

use crate::{
    accounts::on_every_store,
    world::{raise, within},
};

const WRITERS: u64 = 4;
const EVENTS_PER_WRITER: u64 = 100;

/// Four writers append while the subscriber keeps dropping the future it waits on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_nor_delivered_twice() {
    for (seed, limit) in [(1, 1), (2, 7), (3, 1_000)] {
        on_every_store(async |store| {
            let writers = (0..WRITERS).map(|writer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for by in 0..EVENTS_PER_WRITER {
                        raise(store.as_ref(), writer, by).await;
                    }
                })
            });
            let writers: Vec<_> = writers.collect();
            let mut chance = fastrand::Rng::with_seed(seed);
            let mut subscription = Subscription::new(Arc::clone(&store), Selection::everything(), Position::ZERO);
            let mut next_position = Position::ZERO.next();
            let all = async {
                while next_position.get() <= WRITERS * EVENTS_PER_WRITER {
                    let patience = chance.u32(..4);
                    let batch = tokio::select! {
                        biased;
                        batch = subscription.next(limit) => batch.unwrap(),
                        () = async { for _ in 0..patience { tokio::task::yield_now().await } } => continue,
                    };
                    assert!((1..=limit).contains(&batch.events.len()), "seed {seed}");
                    for event in batch.events {
                        assert_eq!(event.position, next_position, "seed {seed}");
                        next_position = next_position.next();
                    }
                    assert_eq!(subscription.position(), batch.read_to);
                }
            };
            within(all).await;
            for writer in writers {
                within(writer).await.unwrap();
            }
        })
        .await;
    }
}

#[tokio::test]
async fn it_begins_after_a_position_and_ends_with_the_store() {
    on_every_store(async |store| {
        for by in 0..5 {
            raise(store.as_ref(), 1, by).await;
        }
        let mut subscription = Subscription::new(Arc::clone(&store), Selection::everything(), Position::new(3));
        let batch = subscription.next(100).await.unwrap();
        assert_eq!(batch.events.iter().map(|event| event.position.get()).collect::<Vec<_>>(), [4, 5]);
        let waiting = tokio::spawn(async move { subscription.next(100).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        store.close().await.unwrap();
        let ended = within(waiting).await.unwrap();
        assert!(matches!(ended, Err(StoreError::Closed)), "{ended:?}");
    })
    .await;
}
