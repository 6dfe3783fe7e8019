//! A panic in a domain's code is an answer, and nothing more.

use factum::{
    DispatchError, EventId, EventStore, ExpectedVersion, StreamName,
    dispatch::CommandOptions,
    principal::Access,
    store::{Append, NewEvent},
    testing,
};

use crate::{
    accounts::{
        ACCOUNT, CloseAccount, Deposits, How, Misbehave, builder, deposit, dispatcher, id, memory, on_every_store,
        open, with_balance,
    },
    watched::everything,
    world::within,
};

async fn count(store: &dyn EventStore) -> usize {
    everything(store).await.len()
}

#[tokio::test]
async fn a_panic_is_told_and_changes_nothing() {
    on_every_store(async |store| {
        let commands = with_balance(&store, 10).await;
        for (how, words) in [
            (How::Validate, "panic in validate"),
            (How::Handle, "panic in handle"),
            (How::Encode, "account.unspeakable"),
        ] {
            let misbehave = Misbehave { account_id: ACCOUNT, how };
            let body = serde_json::to_vec(&misbehave).unwrap();
            let typed = commands.dispatch(misbehave).command_id(id(1)).await;
            assert!(matches!(&typed, Err(DispatchError::Panicked(text)) if text.contains(words)), "{typed:?}");
            let named = commands.dispatch_named("misbehave", &body, CommandOptions::default()).await;
            assert!(matches!(&named, Err(DispatchError::Panicked(text)) if text.contains(words)), "{named:?}");
            assert_eq!(count(store.as_ref()).await, 2, "{how:?}");
        }
        // The same dispatcher goes on, with the same aggregate, and with the id that came to nothing.
        within(commands.dispatch(deposit(1)).command_id(id(1)).into_future()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_panic_while_reading_or_rejecting_is_told_too() {
    let store = memory();
    let commands = with_balance(&store, 10).await;
    for (how, words) in [("read", "panic in read"), ("reject", "words fail me")] {
        let body = format!(r#"{{"account_id":"{ACCOUNT}","how":"{how}"}}"#);
        let named = commands.dispatch_named("misbehave", body.as_bytes(), CommandOptions::default()).await;
        assert!(matches!(&named, Err(DispatchError::Panicked(text)) if text.contains(words)), "{named:?}");
    }
    assert_eq!(count(store.as_ref()).await, 2);
}

#[tokio::test]
async fn a_fact_that_could_not_be_folded_is_refused_before_it_is_written() {
    let store = memory();
    let commands = with_balance(&store, 10).await;
    let no = within(commands.dispatch(Misbehave { account_id: ACCOUNT, how: How::Apply }).into_future()).await;
    assert!(matches!(&no, Err(DispatchError::Panicked(text)) if text.contains("a cursed fact")), "{no:?}");
    assert_eq!(count(store.as_ref()).await, 2);
    within(commands.dispatch(deposit(1)).into_future()).await.unwrap();
}

#[tokio::test]
async fn a_fact_that_cannot_be_folded_stops_its_own_aggregate_only() {
    let store = memory();
    with_balance(&store, 10).await;
    let cursed = NewEvent {
        id: EventId::from_uuid(uuid::Uuid::from_u128(666)),
        name: "account.cursed".into(),
        schema: 1,
        tags: Vec::new(),
        data: b"{}".to_vec(),
    };
    let metadata = everything(store.as_ref()).await[0].metadata.clone();
    let stream = StreamName::new(format!("account-{ACCOUNT}")).unwrap();
    let append = Append::new(metadata, testing::NOW).stream(stream, ExpectedVersion::Any, vec![cursed]);
    store.append(append).await.unwrap();
    let commands = dispatcher(&store);
    for _ in 0..2 {
        let no = within(commands.dispatch(deposit(1)).into_future()).await;
        assert!(matches!(&no, Err(DispatchError::Panicked(text)) if text.contains("a cursed fact")), "{no:?}");
    }
    assert_eq!(count(store.as_ref()).await, 3);
    commands.dispatch(another_account()).await.unwrap();
}

fn another_account() -> crate::accounts::OpenAccount {
    crate::accounts::OpenAccount { account_id: None, ..open() }
}

#[tokio::test]
async fn a_policy_that_panics_lets_nobody_in() {
    let store = memory();
    let policy = |access: Access<'_>| {
        assert_ne!(access.name, "deposit", "panic in policy");
        Ok(())
    };
    let commands = builder(&store).authorize(policy).build().unwrap();
    commands.dispatch(open()).await.unwrap();
    let no = commands.dispatch(deposit(1)).await;
    assert!(matches!(&no, Err(DispatchError::Panicked(text)) if text.contains("panic in policy")), "{no:?}");
    assert_eq!(count(store.as_ref()).await, 1);
}

/// It is accepted all the same: the event is there. The relay stops at it, so waiting for the message is in vain.
#[tokio::test]
async fn a_translation_that_panics_does_not_undo_the_command() {
    let store = memory();
    with_balance(&store, 10).await;
    let commands = builder(&store).publishes::<Deposits>().build().unwrap();
    let closed = commands.dispatch(CloseAccount { account_id: ACCOUNT }).command_id(id(1)).await.unwrap();
    assert_eq!(closed.token().topics[0].position, closed.position.get());
    let again = commands.dispatch(CloseAccount { account_id: ACCOUNT }).command_id(id(1)).await.unwrap();
    assert_eq!((again.token(), again.repeated), (closed.token(), true));
    assert_eq!(count(store.as_ref()).await, 3);
}

/// Whoever waits for the turn of an aggregate gets it after a panic as after anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_leaves_no_lock_behind() {
    let store = memory();
    let commands = dispatcher(&store);
    commands.dispatch(open()).await.unwrap();
    let mut sent = tokio::task::JoinSet::new();
    for number in 0..50_u32 {
        let commands = commands.clone();
        sent.spawn(async move {
            if number % 2 == 0 {
                commands.dispatch(deposit(1)).await.is_ok()
            } else {
                let misbehave = Misbehave { account_id: ACCOUNT, how: How::Handle };
                matches!(commands.dispatch(misbehave).await, Err(DispatchError::Panicked(_)))
            }
        });
    }
    assert!(within(sent.join_all()).await.into_iter().all(|as_told| as_told));
    assert_eq!(count(store.as_ref()).await, 26);
}
