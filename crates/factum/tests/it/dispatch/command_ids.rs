//! A request that comes again is recognised, whatever has happened since, and nobody meets another's.

use std::{sync::Arc, time::Duration};

use factum::{
    ActorId, CommandDispatcher, CommandId, CommandReceipt, DispatchError, Event, EventStore, ExpectedVersion, Runtime,
    Version,
    dispatch::{CommandKey, CommandOptions, Surface},
    model::Decoded,
    runtime::ManualClock,
    store::{Durability, EngineOptions, EngineStore},
    testing::{FaultyStore, StoreCall},
};

use crate::{
    accounts::{
        ACCOUNT, AccountEvent, CloseAccount, Deposits, OpenAccount, Witness, builder, deposit, dispatcher, id, keyed,
        memory, on_every_store, open, principal, with_balance, withdraw,
    },
    watched::everything,
};

/// The answer to a repeat: the original one, marked.
fn again(original: &CommandReceipt) -> CommandReceipt {
    let mut again = original.clone();
    again.repeated = true;
    again
}

#[tokio::test]
async fn a_repeat_gets_the_original_answer_after_the_state_has_moved_on() {
    on_every_store(async |store| {
        let commands = builder(&store).publishes::<Deposits>().build().unwrap();
        commands.dispatch(open()).command_id(id(1)).await.unwrap();
        let deposited = commands.dispatch(deposit(10)).command_id(id(2)).await.unwrap();
        let withdrawn = commands.dispatch(withdraw(10)).command_id(id(3)).await.unwrap();
        for number in 4..10 {
            commands.dispatch(deposit(number)).await.unwrap();
        }
        assert_eq!((deposited.repeated, withdrawn.repeated), (false, false));
        let events = everything(store.as_ref()).await;
        // It would be rejected now.
        let opened = commands.dispatch(open()).command_id(id(1)).await.unwrap();
        assert_eq!((opened.version.get(), opened.repeated), (1, true));
        assert_eq!(commands.dispatch(deposit(10)).command_id(id(2)).await.unwrap(), again(&deposited));
        // Its condition does not hold any more, and never did.
        for expected in [ExpectedVersion::Exact(Version::new(2)), ExpectedVersion::NoStream] {
            let repeat = commands.dispatch(withdraw(10)).command_id(id(3)).expecting(expected).await;
            assert_eq!(repeat.unwrap(), again(&withdrawn));
        }
        assert_eq!(everything(store.as_ref()).await, events);
    })
    .await;
}

#[tokio::test]
async fn an_id_belongs_to_one_request() {
    on_every_store(async |store| {
        let commands = with_balance(&store, 10).await;
        commands.dispatch(deposit(5)).command_id(id(1)).await.unwrap();
        let other_payload = commands.dispatch(deposit(6)).command_id(id(1)).await;
        assert!(matches!(other_payload, Err(DispatchError::CommandIdReused)), "{other_payload:?}");
        // The same document under another name.
        let other_command = commands.dispatch(withdraw(5)).command_id(id(1)).await;
        assert!(matches!(other_command, Err(DispatchError::CommandIdReused)), "{other_command:?}");
        // It would be rejected, and its condition fails: the id is judged first.
        let rejected = commands.dispatch(withdraw(500)).command_id(id(1)).expecting(ExpectedVersion::NoStream).await;
        assert!(matches!(rejected, Err(DispatchError::CommandIdReused)), "{rejected:?}");
        assert_eq!(everything(store.as_ref()).await.len(), 3);
    })
    .await;
}

/// A no is not remembered: the same request may be accepted later.
#[tokio::test]
async fn a_rejected_command_may_come_again() {
    let commands = dispatcher(&memory());
    let no = commands.dispatch(deposit(1)).command_id(id(1)).await;
    assert!(matches!(no, Err(DispatchError::Rejected(_))), "{no:?}");
    commands.dispatch(open()).await.unwrap();
    assert!(!commands.dispatch(deposit(1)).command_id(id(1)).await.unwrap().repeated);
}

/// Where an operator chose to sync later, readers do not see it yet; a repeat must not take it for lost.
#[tokio::test]
async fn a_repeat_is_answered_before_its_events_are_synced() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions::default().durability(Durability::Interval(Duration::from_secs(60)));
    let store: Arc<dyn EventStore> = Arc::new(EngineStore::open(dir.path(), options).unwrap());
    let commands = builder(&store).publishes::<Deposits>().build().unwrap();
    commands.dispatch(open()).await.unwrap();
    // More than one look back takes.
    for number in 2..200 {
        commands.dispatch(deposit(1)).command_id(id(number)).await.unwrap();
    }
    let last = commands.dispatch(deposit(5)).command_id(id(1)).await.unwrap();
    let heads = store.heads().await.unwrap();
    assert!(heads.synced < heads.written, "{heads:?}");
    assert_eq!(commands.dispatch(deposit(5)).command_id(id(1)).await.unwrap(), again(&last));
    assert_eq!(last.token().topics[0].position, last.position.get());
    store.close().await.unwrap();
}

/// A store on which a twin of each request is accepted right before the call of this kind.
async fn twin_before(call: StoreCall, account: &Arc<dyn EventStore>) -> (Arc<FaultyStore>, CommandDispatcher) {
    let twin = dispatcher(account);
    let (watched, store) = FaultyStore::new(account)
        .before(move |at, nth| {
            let twin = twin.clone();
            async move {
                if (at, nth) == (call, 1) {
                    twin.dispatch(withdraw(10)).command_id(id(7)).await.unwrap();
                    twin.dispatch(CloseAccount { account_id: ACCOUNT }).command_id(id(8)).await.unwrap();
                }
                Ok(())
            }
        })
        .shared();
    (watched, dispatcher(&store))
}

#[tokio::test]
async fn a_twin_that_gets_in_between_shares_its_answer() {
    for call in [StoreCall::ReadStream, StoreCall::Append] {
        for expected in [ExpectedVersion::Any, ExpectedVersion::Exact(Version::new(2))] {
            let store = memory();
            with_balance(&store, 10).await;
            // Rejected, or not at the expected version, had the twin not been this very request.
            let (_, commands) = twin_before(call, &store).await;
            let receipt = commands.dispatch(withdraw(10)).command_id(id(7)).expecting(expected).await.unwrap();
            assert_eq!((receipt.version.get(), receipt.repeated), (3, true), "{call:?} {expected}");
            // Nothing to do, had the twin not been this very request.
            let store = memory();
            with_balance(&store, 10).await;
            let (_, commands) = twin_before(call, &store).await;
            let close = commands.dispatch(CloseAccount { account_id: ACCOUNT }).command_id(id(8));
            let receipt = close.expecting(expected).await.unwrap();
            assert_eq!((receipt.version.get(), receipt.repeated), (4, true), "{call:?} {expected}");
            assert_eq!(everything(store.as_ref()).await.len(), 4);
        }
    }
}

#[tokio::test]
async fn an_id_left_out_is_derived_from_the_command_id() {
    let store = memory();
    let commands = dispatcher(&store);
    let body = br#"{"currency":"CHF"}"#;
    let first = commands.dispatch_named("open-account", body, keyed("k")).await.unwrap();
    assert_eq!(first.aggregate_id(), first.command_id.derive("account").to_string());
    assert_eq!(commands.dispatch_named("open-account", body, keyed("k")).await.unwrap(), again(&first));
    let other = commands.dispatch_named("open-account", body, keyed("other")).await.unwrap();
    let fresh = commands.dispatch(OpenAccount { account_id: None, currency: "CHF".to_owned() }).await.unwrap();
    let ids = [&first, &other, &fresh].map(CommandReceipt::aggregate_id);
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

/// Runs a future while time passes whenever everybody sleeps.
async fn as_time_passes<T>(clock: &ManualClock, future: impl IntoFuture<Output = T>) -> T {
    let mut future = std::pin::pin!(future.into_future());
    loop {
        tokio::select! {
            biased;
            done = &mut future => return done,
            () = tokio::task::yield_now() => {
                if clock.next_wake().is_some() {
                    clock.advance(Duration::from_millis(1));
                }
            }
        }
    }
}

#[tokio::test]
async fn time_and_ids_stay_the_same_over_all_attempts() {
    let store = memory();
    let rival = with_balance(&store, 10).await;
    let (runtime, clock) = Runtime::manual(11);
    let (watched, contended) = FaultyStore::new(&store)
        .before(move |call, nth| {
            let rival = rival.clone();
            async move {
                if call == StoreCall::Append && nth <= 3 {
                    rival.dispatch(deposit(1)).await.unwrap();
                }
                Ok(())
            }
        })
        .shared();
    let commands = builder(&contended).runtime(runtime.clone()).build().unwrap();
    let asked = runtime.now();
    let witness = Witness { account_id: ACCOUNT, times: 2 };
    let receipt = as_time_passes(&clock, commands.dispatch(witness).principal(principal("ada"))).await.unwrap();
    assert!(runtime.now() > asked, "it had to wait");
    assert_eq!((watched.count(StoreCall::Append), receipt.version.get()), (4, 7));
    let events = everything(store.as_ref()).await;
    let [first, second] = &events[5..] else { panic!("{events:?}") };
    for event in [first, second] {
        let Ok(Decoded::Known(AccountEvent::Witnessed(witnessed))) = event.decode() else { panic!("{event:?}") };
        assert_eq!((witnessed.now, event.recorded_at), (asked, asked));
        assert_eq!((witnessed.command_id, event.command_id), (receipt.command_id, Some(receipt.command_id)));
        assert_eq!((witnessed.actor.as_str(), event.metadata.actor.as_str()), ("ada", "ada"));
        assert_eq!((witnessed.version, witnessed.derived), (5, receipt.command_id.derive("label")));
        assert_eq!(event.metadata.correlation_id.as_uuid(), receipt.command_id.as_uuid());
    }
    // Derived, so that a lost answer and its repeat mean the same events.
    assert_eq!(first.id.as_uuid(), receipt.command_id.derive("event 0"));
    assert_eq!(second.id.as_uuid(), receipt.command_id.derive("event 1"));
    assert_eq!(AccountEvent::names().len(), 7);
}

#[tokio::test]
async fn an_id_made_for_the_request_is_never_looked_up() {
    let (watched, store) = FaultyStore::new(&memory()).shared();
    let commands = dispatcher(&store);
    commands.dispatch(open()).await.unwrap();
    let no = commands.dispatch(open()).await;
    assert!(matches!(no, Err(DispatchError::Rejected(_))), "{no:?}");
    assert_eq!(watched.count(StoreCall::Command), 0);
    commands.dispatch(deposit(1)).command_id(id(1)).await.unwrap();
    assert_eq!(watched.count(StoreCall::Command), 1, "once for a request that is accepted");
}

#[tokio::test]
async fn a_key_means_something_only_to_who_sent_it_where() {
    let mut seen: Vec<CommandId> = Vec::new();
    for service in ["accounts", "ledgers"] {
        let store = memory();
        let commands = builder(&store).service(service).build().unwrap();
        commands.dispatch(open()).await.unwrap();
        let actor = |name: &str| Surface::Http(ActorId::new(name).unwrap());
        for (surface, key) in [
            (actor("ada"), "k"),
            (actor("ada"), "k2"),
            (actor("eve"), "k"),
            (actor("adak"), ""),
            (Surface::Bus("ada".to_owned()), "k"),
            (Surface::Bus("transfers".to_owned()), "k"),
        ] {
            let key = CommandKey::Keyed { surface, key: key.to_owned() };
            let options = CommandOptions { key, ..CommandOptions::default() };
            let first = commands.dispatch(deposit(1)).options(options.clone()).await.unwrap();
            assert!(!first.repeated && !seen.contains(&first.command_id), "{options:?}");
            assert!(commands.dispatch(deposit(1)).options(options).await.unwrap().repeated);
            seen.push(first.command_id);
        }
    }
}

#[tokio::test]
async fn what_was_left_out_stays_left_out_in_the_fingerprint() {
    let commands = dispatcher(&memory());
    let send = async |body: &str| commands.dispatch_named("open-account", body.as_bytes(), keyed("k")).await;
    let account = ACCOUNT.to_string();
    send(&format!(r#"{{"account_id":"{account}"}}"#)).await.unwrap();
    let defaulted = send(&format!(r#"{{"account_id":"{account}","currency":"EUR"}}"#)).await;
    assert!(matches!(defaulted, Err(DispatchError::CommandIdReused)), "{defaulted:?}");
    let layout = send(&format!("{{ \"account\\u005fid\" :\n\"{account}\" }}")).await.unwrap();
    assert!(layout.repeated);
}

#[tokio::test]
async fn both_doors_know_the_same_request() {
    let commands = dispatcher(&memory());
    let options = CommandOptions { key: CommandKey::Id(id(1)), ..CommandOptions::default() };
    commands.dispatch(open()).options(options.clone()).await.unwrap();
    let body = format!(r#"{{"currency":"EUR","account_id":"{ACCOUNT}"}}"#);
    assert!(commands.dispatch_named("open-account", body.as_bytes(), options).await.unwrap().repeated);
}

/// Read as floating point, these two amounts are the same.
#[tokio::test]
async fn large_amounts_are_told_apart() {
    let store = memory();
    let commands = with_balance(&store, 1).await;
    let send = async |amount: &str| {
        let body = format!(r#"{{"account_id":"{ACCOUNT}","amount":{amount}}}"#);
        commands.dispatch_named("deposit", body.as_bytes(), keyed("k")).await
    };
    send("100000000000000000000001").await.unwrap();
    let other = send("100000000000000000000002").await;
    assert!(matches!(other, Err(DispatchError::CommandIdReused)), "{other:?}");
    assert!(send("100000000000000000000001").await.unwrap().repeated);
}
