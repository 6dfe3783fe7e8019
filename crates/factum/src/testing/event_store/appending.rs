//! Appending: all or nothing, dense numbers, versions as expected.

use std::borrow::Cow;

use uuid::Uuid;

use super::{Case, Store, all, append, event, head, join_all, outline, position, request, spawn_all, stream, version};
use crate::{
    model::{EventId, Timestamp},
    store::{
        Append, AppendError, CommandRecord, Direction, ExpectedVersion, Metadata, NewEvent, Position, Receipt,
        Selection, StreamName, Tag, Version,
    },
    testing::{NOW, case::ok},
};

pub(super) const CASES: &[Case] = &[
    ("an_empty_store_has_nothing", |store| Box::pin(an_empty_store_has_nothing(store))),
    ("an_event_comes_back_as_it_went_in", |store| Box::pin(an_event_comes_back_as_it_went_in(store))),
    ("positions_and_versions_are_dense", |store| Box::pin(positions_and_versions_are_dense(store))),
    ("an_expected_version_is_met_or_it_conflicts", |store| Box::pin(an_expected_version_is_met(store))),
    ("several_streams_are_appended_to_or_none", |store| Box::pin(several_streams_are_appended_to_or_none(store))),
    ("what_is_over_a_limit_is_refused", |store| Box::pin(what_is_over_a_limit_is_refused(store))),
    ("hostile_names_are_only_names", |store| Box::pin(hostile_names_are_only_names(store))),
    ("of_racing_appends_that_expect_the_same_version_one_wins", |store| Box::pin(one_of_racing_appends_wins(store))),
    ("racing_appends_lose_nothing", |store| Box::pin(racing_appends_lose_nothing(store))),
];

/// An event over this size is refused by every store, whatever its options.
const EVENT_BYTES_NEVER: usize = (16 << 20) + 1;
/// So many events in one append are taken by every store, unless it is told otherwise.
const BATCH_EVENTS_ALWAYS: u64 = 1_024;

async fn an_empty_store_has_nothing(store: Store) {
    assert_eq!(head(&store).await, Position::ZERO);
    assert_eq!(all(&store).await, []);
    let batch = ok(store.read_stream(&stream("account-1"), version(1), Direction::Forward, 10).await);
    assert!(batch.events.is_empty() && batch.end, "{batch:?}");
    let batch = ok(store.read(&Selection::everything(), Position::MAX, Direction::Backward, 10).await);
    assert!(batch.events.is_empty() && batch.end, "{batch:?}");
}

async fn an_event_comes_back_as_it_went_in(store: Store) {
    let tags = ["holder:h-1", "currency:EUR", "note:'; DROP TABLE events; --"];
    let new = NewEvent {
        id: EventId::from_uuid(Uuid::from_u128(u128::MAX)),
        name: Cow::Owned("account.öpened".to_owned()),
        schema: u32::from(u16::MAX),
        tags: tags.map(|tag| ok(Tag::new(tag))).into(),
        data: r#" { "b": 1, "a" : "'; DROP TABLE events; -- \u0000 😀" } "#.as_bytes().to_vec(),
    };
    let plain = NewEvent { name: "account.closed".into(), data: b"null".to_vec(), tags: Vec::new(), ..new.clone() };
    let command: CommandRecord = super::command(5, 1);
    let caused = Metadata {
        causation_id: Some(Uuid::from_u128(9)),
        bus_command: Some("transfer-6f1/hold".into()),
        ..super::metadata()
    };
    let (first, second) = (stream("account-1"), stream("account-2"));
    let append = Append::new(caused.clone(), NOW)
        .stream(first.clone(), ExpectedVersion::NoStream, vec![new.clone(), plain.clone()])
        .stream(second.clone(), ExpectedVersion::NoStream, vec![new.clone()])
        .command(command);
    ok(store.append(append).await);
    let later = Timestamp::from_micros(NOW.as_micros() + 1);
    let append = Append::new(super::metadata(), later).stream(first.clone(), ExpectedVersion::Any, vec![plain.clone()]);
    ok(store.append(append).await);
    let expected = [
        (&first, 1, &new, Some(command.id), caused.clone(), NOW),
        (&first, 2, &plain, Some(command.id), caused.clone(), NOW),
        (&second, 1, &new, Some(command.id), caused, NOW),
        (&first, 3, &plain, None, super::metadata(), later),
    ];
    let events = all(&store).await;
    assert_eq!(events.len(), expected.len());
    for (at, (event, (stream, number, new, command, metadata, recorded_at))) in (1..).zip(events.iter().zip(expected)) {
        assert_eq!((event.position, &event.stream, event.version), (position(at), stream, version(number)));
        assert_eq!((event.id, &*event.name, event.schema), (new.id, &*new.name, new.schema));
        assert_eq!((&event.tags, &event.data[..]), (&new.tags, &new.data[..]));
        assert_eq!((event.command_id, &event.metadata, event.recorded_at), (command, &metadata, recorded_at));
    }
}

async fn positions_and_versions_are_dense(store: Store) {
    let first = append(&store, "account-1", [1, 2]).await;
    let expected = Receipt {
        streams: vec![(stream("account-1"), version(2))],
        first: position(1),
        last: position(2),
        repeated: false,
    };
    assert_eq!(first, expected);
    append(&store, "account-2", [3]).await;
    let last = append(&store, "account-1", [4]).await;
    assert_eq!(
        (last.first, last.last, &last.streams[..]),
        (position(4), position(4), &[(stream("account-1"), version(3))][..])
    );
    let events = all(&store).await;
    let numbers: Vec<_> = events.iter().map(|event| (event.position.get(), event.version.get())).collect();
    assert_eq!(numbers, [(1, 1), (2, 2), (3, 1), (4, 3)]);
    assert_eq!(head(&store).await, position(4));
}

async fn an_expected_version_is_met(store: Store) {
    use ExpectedVersion::{Any, Exact, NoStream, StreamExists};
    let mut number = 0;
    for (actual, expected, met) in [
        (0, Any, true),
        (0, NoStream, true),
        (0, StreamExists, false),
        (0, Exact(version(0)), true),
        (0, Exact(version(1)), false),
        (2, Any, true),
        (2, NoStream, false),
        (2, StreamExists, true),
        (2, Exact(version(0)), false),
        (2, Exact(version(1)), false),
        (2, Exact(version(2)), true),
        (2, Exact(version(3)), false),
        (2, Exact(Version::MAX), false),
    ] {
        number += 1;
        let name = stream(&format!("account-{number}"));
        if actual > 0 {
            append(&store, name.as_str(), 1..=actual).await;
        }
        let before = head(&store).await;
        let result = store.append(request().stream(name.clone(), expected, vec![event(9)])).await;
        match result {
            Ok(receipt) if met => assert_eq!(receipt.streams, [(name, version(actual + 1))]),
            Err(AppendError::Conflict { stream, expected: named, actual: at }) if !met => {
                assert_eq!((stream, named, at), (name, expected, version(actual)));
                assert_eq!(head(&store).await, before, "a conflict writes nothing");
            }
            other => panic!("{expected} on a stream at version {actual}: {other:?}"),
        }
    }
}

async fn several_streams_are_appended_to_or_none(store: Store) {
    append(&store, "account-1", [1]).await;
    let transfer = |second: ExpectedVersion| {
        request().stream(stream("account-1"), ExpectedVersion::Exact(version(1)), vec![event(2), event(3)]).stream(
            stream("account-2"),
            second,
            vec![event(4)],
        )
    };
    let result = store.append(transfer(ExpectedVersion::StreamExists)).await;
    match result {
        Err(AppendError::Conflict { stream: named, .. }) => assert_eq!(named, stream("account-2")),
        other => panic!("{other:?}"),
    }
    assert_eq!(head(&store).await, position(1));
    let receipt = ok(store.append(transfer(ExpectedVersion::NoStream)).await);
    assert_eq!(receipt.streams, [(stream("account-1"), version(3)), (stream("account-2"), version(1))]);
    assert_eq!((receipt.first, receipt.last), (position(2), position(4)));
    // A stream without events is only checked.
    let checked = |expected| {
        request().stream(stream("account-1"), ExpectedVersion::Any, vec![event(5)]).stream(
            stream("account-2"),
            expected,
            Vec::new(),
        )
    };
    let result = store.append(checked(ExpectedVersion::Exact(version(2)))).await;
    assert!(matches!(result, Err(AppendError::Conflict { .. })), "{result:?}");
    let receipt = ok(store.append(checked(ExpectedVersion::Exact(version(1)))).await);
    assert_eq!(receipt.streams[0], (stream("account-1"), version(4)));
    let streams: Vec<_> =
        outline(&all(&store).await).into_iter().map(|(stream, version, _)| (stream, version)).collect();
    let expected = [("account-1", 1), ("account-1", 2), ("account-1", 3), ("account-2", 1), ("account-1", 4)];
    assert_eq!(streams, expected.map(|(name, version)| (name.to_owned(), version)));
}

async fn what_is_over_a_limit_is_refused(store: Store) {
    let any = |name: &str, events: Vec<NewEvent>| request().stream(stream(name), ExpectedVersion::Any, events);
    let large = NewEvent { data: vec![b'1'; EVENT_BYTES_NEVER], ..event(1) };
    let named = |name| any("account-1", vec![NewEvent { name: Cow::Borrowed(name), ..event(1) }]);
    for (what, append) in [
        ("no streams", request()),
        ("no events", any("account-1", Vec::new())),
        ("an event too large", any("account-1", vec![event(1), large])),
        ("an event without a name", named("")),
        ("a control character in a name", named("account\n.opened")),
        (
            "a stream named twice",
            any("account-1", vec![event(1)]).stream(stream("account-1"), ExpectedVersion::Any, vec![event(2)]),
        ),
    ] {
        let result = store.append(append).await;
        let refused = matches!(result, Err(AppendError::Refused(_) | AppendError::InvalidName(_)));
        assert!(refused, "{what}: {result:?}");
        assert_eq!(head(&store).await, Position::ZERO, "{what}");
    }
    let receipt = append(&store, "account-1", 0..BATCH_EVENTS_ALWAYS).await;
    assert_eq!(receipt.last, position(BATCH_EVENTS_ALWAYS));
}

async fn hostile_names_are_only_names(store: Store) {
    let names = [
        "account-'; DROP TABLE events; --".to_owned(),
        "account-\"".to_owned(),
        "account-%".to_owned(),
        "account-ü😀".to_owned(),
        "Account-a".to_owned(),
        "account-a".to_owned(),
        "account-a-b".to_owned(),
        "../../account".to_owned(),
        "a".repeat(255),
    ];
    for (number, name) in (1..).zip(&names) {
        append(&store, name, [number]).await;
    }
    for (number, name) in (1..).zip(&names) {
        let name: StreamName = stream(name);
        let batch = ok(store.read_stream(&name, version(1), Direction::Forward, 10).await);
        assert_eq!(outline(&batch.events), [(name.to_string(), 1, format!("{{\"number\":{number}}}"))]);
    }
}

async fn one_of_racing_appends_wins(store: Store) {
    const RACERS: u64 = 32;
    append(&store, "account-1", [1]).await;
    let tasks = spawn_all(RACERS, |number| {
        let store = store.clone();
        let expected = ExpectedVersion::Exact(version(1));
        async move { store.append(request().stream(stream("account-1"), expected, vec![event(number)])).await }
    });
    let (won, lost): (Vec<_>, Vec<_>) = join_all(tasks).await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len() as u64, lost.len() as u64), (1, RACERS - 1));
    for lost in lost {
        assert!(matches!(lost, Err(AppendError::Conflict { actual, .. }) if actual == version(2)), "{lost:?}");
    }
    assert_eq!(head(&store).await, position(2));
}

async fn racing_appends_lose_nothing(store: Store) {
    const RACERS: u64 = 16;
    const APPENDS: u64 = 8;
    let tasks = spawn_all(RACERS, |number| {
        let store = store.clone();
        async move {
            let mut receipts = Vec::new();
            for round in 0..APPENDS {
                let name = format!("account-{}", number % 3);
                receipts.push(append(&store, &name, [number * APPENDS + round]).await);
            }
            receipts
        }
    });
    let receipts: Vec<Receipt> = join_all(tasks).await.into_iter().flatten().collect();
    let events = all(&store).await;
    assert_eq!(events.len() as u64, RACERS * APPENDS);
    let mut versions = std::collections::HashMap::new();
    for (at, event) in (1..).zip(&events) {
        assert_eq!(event.position, position(at), "positions are dense");
        let last = versions.entry(&event.stream).or_insert(0);
        *last += 1;
        assert_eq!(event.version, version(*last), "versions are dense");
    }
    for receipt in receipts {
        let at = usize::try_from(receipt.first.get() - 1).unwrap_or(usize::MAX);
        let (stream, version) = &receipt.streams[0];
        assert_eq!((&events[at].stream, events[at].version), (stream, *version), "a receipt names its own event");
    }
}
