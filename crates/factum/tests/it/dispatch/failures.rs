//! The event store fails, or the caller goes away.

use std::{
    borrow::Cow,
    future::poll_fn,
    pin::pin,
    task::{Poll, Waker},
};

use factum::{
    ActorId, CorrelationId, DispatchError, EventId, EventStore, ExpectedVersion, StreamName,
    store::{Append, Metadata, NewEvent, StoreError},
    testing::{self, FaultyStore, StoreCall},
};
use uuid::Uuid;

use crate::{
    accounts::{ACCOUNT, Deposits, Witness, builder, deposit, dispatcher, id, memory, on_every_store, with_balance},
    watched::{everything, unavailable},
    world::within,
};

#[tokio::test]
async fn a_store_that_is_away_is_told_and_trying_again_is_exactly_once() {
    for call in [StoreCall::Command, StoreCall::ReadStream, StoreCall::Append] {
        for lost_answer in [false, true] {
            on_every_store(async |store| {
                with_balance(&store, 10).await;
                let fail =
                    move |at, nth| async move { if (at, nth) == (call, 1) { Err(unavailable()) } else { Ok(()) } };
                let watched = FaultyStore::new(&store);
                let watched = if lost_answer { watched.after(fail) } else { watched.before(fail) };
                let commands = dispatcher(&watched.shared().1);
                let story = format!("{call:?}, lost answer: {lost_answer}");
                let failed = commands.dispatch(deposit(5)).command_id(id(1)).await;
                assert!(matches!(failed, Err(DispatchError::Unavailable(StoreError::Unavailable(_)))), "{story}");
                let happened = everything(store.as_ref()).await.len() == 3;
                assert_eq!(happened, lost_answer && call == StoreCall::Append, "{story}");
                let receipt = commands.dispatch(deposit(5)).command_id(id(1)).await.unwrap();
                assert_eq!((receipt.version.get(), receipt.repeated), (3, happened), "{story}");
                assert_eq!(everything(store.as_ref()).await.len(), 3, "{story}");
            })
            .await;
        }
    }
}

#[tokio::test]
async fn each_failure_of_a_store_has_its_answer() {
    let failures: [(fn() -> StoreError, bool); 4] = [
        (unavailable, true),
        (|| StoreError::ReadOnly("a sync failed".into()), true),
        (|| StoreError::Closed, true),
        (|| StoreError::Damaged("a checksum".into()), false),
    ];
    for (failure, unavailable) in failures {
        for call in [StoreCall::Command, StoreCall::ReadStream, StoreCall::Append] {
            let store = memory();
            with_balance(&store, 10).await;
            let watched = FaultyStore::new(&store)
                .before(move |at, _| async move { if at == call { Err(failure()) } else { Ok(()) } });
            let failed = dispatcher(&watched.shared().1).dispatch(deposit(5)).command_id(id(1)).await;
            match failed {
                Err(DispatchError::Unavailable(_)) if unavailable => {}
                Err(DispatchError::Corrupt(_)) if !unavailable => {}
                other => panic!("{call:?} {}: {other:?}", failure()),
            }
        }
    }
}

/// Appends to the account past the dispatcher.
async fn append(store: &dyn EventStore, name: &'static str, schema: u32, data: &str) {
    let metadata = Metadata {
        correlation_id: CorrelationId::from_uuid(Uuid::nil()),
        causation_id: None,
        actor: ActorId::system(),
        bus_command: None,
    };
    let id = EventId::from_uuid(Uuid::from_u128(99));
    let event = NewEvent { id, name: Cow::Borrowed(name), schema, tags: Vec::new(), data: data.as_bytes().to_vec() };
    let stream = StreamName::new(format!("account-{ACCOUNT}")).unwrap();
    store.append(Append::new(metadata, testing::NOW).stream(stream, ExpectedVersion::Any, vec![event])).await.unwrap();
}

#[tokio::test]
async fn a_fact_this_build_does_not_understand_stops_the_decision() {
    for (name, schema, data, words) in [
        ("account.renamed", 1, "{}", "account.renamed"),
        ("account.deposited", 2, r#"{"amount":1}"#, "schema 2"),
        ("account.deposited", 1, r#"{"amount":"x"}"#, "account.deposited"),
    ] {
        let store = memory();
        let commands = with_balance(&store, 10).await;
        append(store.as_ref(), name, schema, data).await;
        let no = commands.dispatch(deposit(5)).command_id(id(1)).await;
        assert!(matches!(&no, Err(DispatchError::Corrupt(text)) if text.contains(words)), "{no:?}");
        assert_eq!(everything(store.as_ref()).await.len(), 3);
    }
}

#[tokio::test]
async fn more_than_a_store_takes_is_refused() {
    on_every_store(async |store| {
        let commands = dispatcher(&store);
        let no = commands.dispatch(Witness { account_id: ACCOUNT, times: 100_000 }).await;
        assert!(matches!(no, Err(DispatchError::Refused(_))), "{no:?}");
        assert!(everything(store.as_ref()).await.is_empty());
    })
    .await;
}

/// A long stream is read in pages.
#[tokio::test]
async fn an_aggregate_of_many_events_is_folded_whole() {
    on_every_store(async |store| {
        let commands = with_balance(&store, 10).await;
        for _ in 0..4 {
            commands.dispatch(Witness { account_id: ACCOUNT, times: 500 }).await.unwrap();
        }
        let receipt = commands.dispatch(crate::accounts::withdraw(10)).await.unwrap();
        assert_eq!(receipt.version.get(), 2_003);
    })
    .await;
}

/// Is pending once.
async fn pause() {
    let mut paused = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn whoever_goes_away_at_any_moment_leaves_nothing_half_done() {
    // Two pauses each around the look-up, the load and the append; then it is done.
    const POLLS: usize = 7;
    for polls in 1..=POLLS {
        on_every_store(async |store| {
            with_balance(&store, 10).await;
            let pausing = |_, _| async {
                pause().await;
                Ok(())
            };
            let (_, slow) = FaultyStore::new(&store).before(pausing).after(pausing).shared();
            let commands = builder(&slow).publishes::<Deposits>().build().unwrap();
            {
                let mut leaving = pin!(commands.dispatch(deposit(5)).command_id(id(1)).into_future());
                let mut cx = std::task::Context::from_waker(Waker::noop());
                for _ in 1..polls {
                    assert!(leaving.as_mut().poll(&mut cx).is_pending());
                }
            }
            // Nobody holds the turn of the account, and the repeat is what it would have been.
            let receipt = within(commands.dispatch(deposit(5)).command_id(id(1)).into_future()).await.unwrap();
            assert_eq!(receipt.version.get(), 3, "after {polls} polls");
            within(commands.dispatch(deposit(5)).into_future()).await.unwrap();
            assert_eq!(everything(store.as_ref()).await.len(), 4, "after {polls} polls");
            if polls == POLLS {
                assert!(receipt.repeated || store.identity() != memory().identity(), "the last poll comes too early");
            }
        })
        .await;
    }
}
