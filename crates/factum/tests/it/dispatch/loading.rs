//! An aggregate as it is, as it was at a version, and as it was at a time.

use std::{borrow::Cow, sync::Arc};

use factum::{
    ActorId, CorrelationId, EventId, EventStore, ExpectedVersion, Position, StreamName, Timestamp, Version,
    dispatch::{At, LoadError, load},
    store::{Append, Metadata, NewEvent},
    testing::{FaultyStore, StoreCall},
};
use uuid::Uuid;

use crate::{
    accounts::{ACCOUNT, Account, memory, on_every_store, with_balance},
    watched::unavailable,
};

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// Appends one event, recorded at this time.
async fn record(store: &dyn EventStore, micros: u64, name: &'static str, data: String) {
    let metadata = Metadata {
        correlation_id: CorrelationId::from_uuid(Uuid::nil()),
        causation_id: None,
        actor: ActorId::system(),
        bus_command: None,
    };
    let id = EventId::from_uuid(Uuid::from_u128(u128::from(micros)));
    let event = NewEvent { id, name: Cow::Borrowed(name), schema: 1, tags: Vec::new(), data: data.into_bytes() };
    let stream = StreamName::new(format!("account-{ACCOUNT}")).unwrap();
    store.append(Append::new(metadata, at(micros)).stream(stream, ExpectedVersion::Any, vec![event])).await.unwrap();
}

async fn deposits(store: &dyn EventStore, times: impl IntoIterator<Item = u64>) {
    for micros in times {
        record(store, micros, "account.deposited", r#"{"amount":1}"#.to_owned()).await;
    }
}

/// (balance, version, position, when) of the account.
async fn seen(store: &dyn EventStore, at: At) -> (u128, u64, u64, Option<u64>) {
    let loaded = load::<Account>(store, &ACCOUNT, at).await.unwrap();
    let when = loaded.recorded_at.map(Timestamp::as_micros);
    (loaded.state.balance, loaded.version.get(), loaded.position.get(), when)
}

#[tokio::test]
async fn an_aggregate_is_loaded_as_it_was_after_any_of_its_events() {
    on_every_store(async |store| {
        // More than two pages.
        const EVENTS: u64 = 2_100;
        let store = store.as_ref();
        for chunk in 0..EVENTS / 100 {
            let events = (1..=100).map(|number| NewEvent {
                id: EventId::from_uuid(Uuid::from_u128(u128::from(chunk * 100 + number))),
                name: Cow::Borrowed("account.deposited"),
                schema: 1,
                tags: Vec::new(),
                data: br#"{"amount":1}"#.to_vec(),
            });
            let metadata = Metadata {
                correlation_id: CorrelationId::from_uuid(Uuid::nil()),
                causation_id: None,
                actor: ActorId::system(),
                bus_command: None,
            };
            let stream = StreamName::new(format!("account-{ACCOUNT}")).unwrap();
            let append = Append::new(metadata, at(chunk)).stream(stream, ExpectedVersion::Any, events.collect());
            store.append(append).await.unwrap();
        }
        assert_eq!(seen(store, At::Latest).await, (2_100, 2_100, 2_100, Some(20)));
        assert_eq!(seen(store, At::Version(Version::ZERO)).await, (0, 0, 0, None));
        for version in [1, 100, 101, 1_023, 1_024, 1_025, 2_048, 2_049, 2_100] {
            let expected = (u128::from(version), version, version, Some((version - 1) / 100));
            assert_eq!(seen(store, At::Version(Version::new(version))).await, expected);
        }
        for chunk in [0, 9, 10, 19] {
            let expected = u128::from(chunk + 1) * 100;
            assert_eq!(seen(store, At::Time(at(chunk))).await.0, expected, "at {chunk}");
        }
        assert_eq!(seen(store, At::Time(at(999))).await.0, 2_100);
        for beyond in [2_101, u64::MAX] {
            let asked = Version::new(beyond);
            let told = load::<Account>(store, &ACCOUNT, At::Version(asked)).await;
            let Err(LoadError::NoSuchVersion { asked: named, actual, stream }) = told else { panic!("{told:?}") };
            assert_eq!((named, actual.get(), stream.id()), (asked, 2_100, &*ACCOUNT.to_string()));
        }
    })
    .await;
}

#[tokio::test]
async fn what_nothing_has_happened_to_is_as_it_begins() {
    let store = memory();
    for which in [At::Latest, At::Version(Version::ZERO), At::Time(at(9))] {
        assert_eq!(seen(store.as_ref(), which).await, (0, 0, 0, None));
    }
    let told = load::<Account>(store.as_ref(), &ACCOUNT, At::Version(Version::new(1))).await;
    assert!(matches!(told, Err(LoadError::NoSuchVersion { actual: Version::ZERO, .. })), "{told:?}");
}

/// The clocks of two machines that took turns.
#[tokio::test]
async fn a_clock_that_ran_back_hides_nothing_and_shows_nothing_later() {
    let store = memory();
    deposits(store.as_ref(), [10, 20, 15, 30, 25]).await;
    let mut shown = 0;
    for (time, version) in
        [(9, 0), (10, 1), (14, 1), (15, 1), (19, 1), (20, 3), (24, 3), (25, 3), (29, 3), (30, 5), (99, 5)]
    {
        let (_, found, ..) = seen(store.as_ref(), At::Time(at(time))).await;
        assert_eq!(found, version, "at {time}");
        assert!(found >= shown, "a later time never shows less");
        shown = found;
    }
}

#[tokio::test]
async fn what_cannot_be_folded_is_told_by_its_version_and_nothing_before_it_is_lost() {
    for (name, data, words) in [
        ("account.renamed", "{}", "this build does not know `account.renamed`"),
        ("account.deposited", r#"{"amount":"x"}"#, "account.deposited"),
        ("account.cursed", "{}", "it panicked"),
    ] {
        let store = memory();
        deposits(store.as_ref(), [1, 2]).await;
        record(store.as_ref(), 3, name, data.to_owned()).await;
        deposits(store.as_ref(), [4]).await;
        for which in [At::Latest, At::Version(Version::new(3)), At::Time(at(3))] {
            let told = load::<Account>(store.as_ref(), &ACCOUNT, which).await.unwrap_err();
            let text = told.to_string();
            assert!(text.contains("version 3") && text.contains(words), "{text}");
            let fits = match told {
                LoadError::UnknownEvent { version, .. } => (name == "account.renamed").then_some(version),
                LoadError::Unreadable { version, .. } => (name == "account.deposited").then_some(version),
                LoadError::Panicked { version, .. } => (name == "account.cursed").then_some(version),
                _ => None,
            };
            assert_eq!(fits, Some(Version::new(3)), "{text}");
        }
        for which in [At::Version(Version::new(2)), At::Time(at(2))] {
            assert_eq!(seen(store.as_ref(), which).await, (2, 2, 2, Some(2)), "what comes later is not looked at");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_told() {
    let inner = memory();
    with_balance(&inner, 10).await;
    let store = FaultyStore::new(&inner).failing(StoreCall::ReadStream, .., unavailable);
    let told = load::<Account>(&store, &ACCOUNT, At::Latest).await;
    assert!(matches!(told, Err(LoadError::Store(_))), "{told:?}");
    let store: Arc<dyn EventStore> = inner;
    assert_eq!(load::<Account>(store.as_ref(), &ACCOUNT, At::Latest).await.unwrap().position, Position::new(2));
}
