//! The receiver fails, and is killed, between any two of its steps; its store is away; it has a twin.

use factum::{
    consumer::ConsumerEnd,
    store::StoreError,
    testing::{self, FaultyStore, Interference, StoreCall},
};

use super::*;
use crate::{
    faults::{Fault, Faults, faulty, killed_anywhere},
    world::World,
};

const ROUNDS: u64 = 2;

async fn dealt_with(store: &dyn EventStore, expected: usize, faults: &Faults) -> bool {
    loop {
        if faults.take_death() {
            return false;
        }
        if recorded(store).await.len() >= expected {
            return true;
        }
        tokio::task::yield_now().await;
    }
}

/// One story: commands and cancels, a fault somewhere, more of them. Says where the fault was, if it was long enough.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let (world, memory) = crate::world::world();
    let faults = Faults::new(at, fault);
    let harmed: World = faulty(&world, &faults);
    let preparing = start(&world.store, &memory).await;
    open(&preparing, 10).await;
    drop(preparing);
    let begin = || async { builder(&harmed.store, &harmed.bus, &harmed.runtime).start().await.unwrap() };
    let mut service = begin().await;
    let mut sender = Sender::new(&memory).await;
    for round in 0..ROUNDS {
        let id = |step: &str| format!("transfer-{round}/{step}");
        sender.deposit(&id("credit"), 5).await;
        sender.withdraw(&id("hold"), 1_000).await;
        sender.cancel(&id("late")).await;
        sender.deposit(&id("late"), 100).await;
        sender.cancel(&id("credit")).await;
        let expected = 3 * (usize::try_from(round).unwrap() + 1);
        while !within(dealt_with(world.store.as_ref(), expected, &faults)).await {
            drop(service);
            service = begin().await;
        }
    }
    drop(service);
    // A last look by one who meets no fault: nothing more comes of it.
    let service = start(&world.store, &memory).await;
    within(settle(&[&service])).await.unwrap();
    drop(service);
    assert_eq!(
        balance(world.store.as_ref()).await,
        10 + 5 * i128::from(ROUNDS),
        "call {at}, {fault:?} at {:?}",
        faults.site()
    );
    let ends: Vec<_> = recorded(world.store.as_ref()).await.iter().map(shown).collect();
    for round in 0..ROUNDS {
        for (step, name) in [("credit", "account.deposited"), ("hold", "outcome.refused"), ("late", "outcome.refused")]
        {
            let id = format!("transfer-{round}/{step}");
            let found: Vec<_> =
                ends.iter().filter(|(own, _, _)| *own == id).map(|(_, name, _)| name.as_str()).collect();
            assert_eq!(found, [name], "{id}: call {at}, {fault:?} at {:?}", faults.site());
        }
    }
    faults.site()
}

#[tokio::test]
async fn receiver_killed_anywhere() {
    let sites = [
        ("store.claim_progress", 1),
        ("store.append", 1),
        ("store.command", 1),
        ("store.advance_progress", 1),
        ("consumer.seek", 1),
    ];
    killed_anywhere(&sites, story).await;
}

#[tokio::test]
async fn a_store_that_is_away_holds_commands_up_and_refuses_none() {
    let inner: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(1));
    let memory = MemoryBus::new();
    let preparing = start(&inner, &memory).await;
    open(&preparing, 10).await;
    drop(preparing);
    let away = || StoreError::Unavailable("gone fishing".into());
    let failing = Arc::new(FaultyStore::new(&inner).failing(StoreCall::Append, 1..=5, away));
    let store: Arc<dyn EventStore> = failing.clone();
    let mut sender = Sender::new(&memory).await;
    sender.withdraw("1", 100).await;
    sender.deposit("2", 90).await;
    sender.withdraw("3", 100).await;
    let service = start(&store, &memory).await;
    within(settle(&[&service])).await.unwrap();
    assert!(failing.count(StoreCall::Append) >= 8);
    let found: Vec<_> = recorded(inner.as_ref()).await.iter().map(shown).map(|(id, name, _)| (id, name)).collect();
    let expected = [("1", "outcome.refused"), ("2", "account.deposited"), ("3", "account.withdrawn")];
    assert_eq!(found, expected.map(|(id, name)| (id.to_owned(), name.to_owned())));
    service.stop(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_contended_account_is_tried_until_it_yields() {
    let inner: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(1));
    let memory = MemoryBus::new();
    let preparing = start(&inner, &memory).await;
    open(&preparing, 10).await;
    drop(preparing);
    let contended = FaultyStore::new(&inner).on(|call, nth| {
        let faster: factum::store::BoxFuture<'static, _> = Box::pin(async { Err(testing::Fault::Conflict) });
        if call == StoreCall::Append && nth <= 25 { Interference::Before(faster) } else { Interference::None }
    });
    let store: Arc<dyn EventStore> = Arc::new(contended);
    let mut sender = Sender::new(&memory).await;
    sender.deposit("1", 5).await;
    let service = start(&store, &memory).await;
    within(settle(&[&service])).await.unwrap();
    assert_eq!(balance(inner.as_ref()).await, 15);
    assert_eq!(outcomes(&memory), []);
    service.stop(LIMIT).await.unwrap();
}

#[tokio::test]
async fn twin_receiver_alive() {
    let mut story = Story::with(10).await;
    story.sender.deposit("1", 1).await;
    story.settled().await;
    let twin = start(&story.store, &story.bus).await;
    within(settle(&[&twin])).await.unwrap();
    story.sender.deposit("2", 2).await;
    within(settle(&[&twin])).await.unwrap();
    let stood_down = ConsumerEnd::StoodDown.to_string();
    story.shows(|report| report.last_error.as_deref() == Some(stood_down.as_str())).await;
    story.sender.deposit("3", 4).await;
    within(settle(&[&twin])).await.unwrap();
    assert_eq!(story.balance().await, 17);
    twin.stop(LIMIT).await.unwrap();
}
