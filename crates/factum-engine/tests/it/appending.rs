//! Appends: conditions, atomicity, command ids, limits.

use std::sync::Arc;

use factum_engine::sim::SimDisk;
use factum_engine::{
    Append, AppendError, Boundary, Clause, Disk, Drive, EVENT_TAGS_MAX, Engine, Entropy, ExpectedVersion, NewEvent,
    Options, Position, Tag, Version,
};

use crate::support::{all_texts, command, event, expecting, note, now, open, stream, texts_of, wait};

#[test]
fn an_append_is_there_when_it_is_answered_with_its_version_and_position() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let receipt = engine.append(expecting("a-1", ExpectedVersion::NoStream, &["one", "two"])).expect("accepted");
    assert_eq!(receipt.streams, [(stream("a-1"), Version::new(2))]);
    assert_eq!((receipt.first, receipt.last), (Position::new(1), Position::new(2)));
    assert!(!receipt.repeated);
    assert_eq!(engine.heads().synced, Position::new(2));
    assert_eq!(engine.stream_version(&stream("a-1")).expect("readable"), Version::new(2));
    assert_eq!(texts_of(&engine, "a-1"), ["one", "two"]);
}

#[test]
fn a_stream_that_is_not_where_it_was_expected_is_a_conflict_that_says_where_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    engine.append(note("a-1", "one")).expect("accepted");
    for (expected, fits) in [
        (ExpectedVersion::NoStream, false),
        (ExpectedVersion::Exact(Version::ZERO), false),
        (ExpectedVersion::Exact(Version::new(2)), false),
    ] {
        match engine.append(expecting("a-1", expected, &["two"])) {
            Err(AppendError::Conflict { stream: name, expected: told, actual }) => {
                assert!(!fits);
                assert_eq!((name, told, actual), (stream("a-1"), expected, Version::new(1)));
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    match engine.append(expecting("b-1", ExpectedVersion::StreamExists, &["two"])) {
        Err(AppendError::Conflict { actual, .. }) => assert_eq!(actual, Version::ZERO),
        other => panic!("{other:?}"),
    }
    for expected in [ExpectedVersion::Exact(Version::new(1)), ExpectedVersion::StreamExists, ExpectedVersion::Any] {
        engine.append(expecting("a-1", expected, &["more"])).expect("accepted");
    }
    assert_eq!(texts_of(&engine, "a-1").len(), 4);
}

#[test]
fn several_streams_are_appended_together_or_not_at_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let both = |expected| {
        Append::new(1)
            .stream(stream("a-1"), ExpectedVersion::Any, vec![event("a")])
            .stream(stream("c-1"), ExpectedVersion::NoStream, Vec::new())
            .stream(stream("b-1"), expected, vec![event("b"), event("c")])
    };
    let receipt = engine.append(both(ExpectedVersion::NoStream)).expect("accepted");
    let versions: Vec<u64> = receipt.streams.iter().map(|(_, version)| version.get()).collect();
    assert_eq!(versions, [1, 0, 2]);
    assert!(matches!(engine.append(both(ExpectedVersion::NoStream)), Err(AppendError::Conflict { .. })));
    assert_eq!(texts_of(&engine, "a-1"), ["a"]);
    assert_eq!(texts_of(&engine, "b-1"), ["b", "c"]);
    assert_eq!(all_texts(&engine).len(), 3);
}

#[test]
fn a_repeated_command_gets_its_first_receipt_and_another_request_under_its_id_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = {
        let engine = open(directory.path());
        let append = || {
            expecting("a-1", ExpectedVersion::NoStream, &["one"])
                .stream(stream("b-1"), ExpectedVersion::Any, Vec::new())
                .command(command(9, 1))
        };
        let first = engine.append(append()).expect("accepted");
        // The id is judged before the version, which no longer fits.
        let again = engine.append(append()).expect("a repeat");
        assert!(again.repeated);
        assert_eq!((again.first, &again.streams), (first.first, &first.streams));
        first
    };
    let engine = open(directory.path());
    let other = note("z-1", "other").command(command(9, 2));
    match engine.append(other) {
        Err(AppendError::CommandIdReused { id }) => assert_eq!(id, [9; 16]),
        answer => panic!("{answer:?}"),
    }
    let known = engine.command([9; 16]).expect("readable").expect("known");
    assert_eq!(known.fingerprint, [1; 16]);
    assert!(known.receipt.repeated);
    assert_eq!((known.receipt.last, known.receipt.streams), (first.last, first.streams));
    assert_eq!(engine.command([8; 16]).expect("readable"), None);
    assert_eq!(all_texts(&engine).len(), 1);
}

#[test]
fn requests_of_one_group_are_judged_against_those_before_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::default().drive(Drive::Manual);
    let engine = Engine::open(directory.path(), options).expect("opens");
    let mut tickets = vec![
        engine.submit(expecting("a-1", ExpectedVersion::NoStream, &["one"])),
        engine.submit(expecting("a-1", ExpectedVersion::NoStream, &["lost"])),
        engine.submit(expecting("a-1", ExpectedVersion::Exact(Version::new(1)), &["two"])),
        engine.submit(note("a-1", "three").command(command(1, 1))),
        engine.submit(note("a-1", "lost").command(command(1, 1))),
        engine.submit(note("a-1", "lost").command(command(1, 2))),
    ];
    assert_eq!(engine.heads().synced, Position::ZERO, "nothing happens before the writer steps");
    assert_eq!(engine.step(), 6);
    assert_eq!(engine.step(), 0);
    let mut answers = tickets.drain(..).map(now);
    assert!(answers.next().expect("first").is_ok());
    assert!(matches!(
        answers.next(),
        Some(Err(AppendError::Conflict { actual, .. })) if actual == Version::new(1)
    ));
    assert!(answers.next().expect("third").is_ok());
    let original = answers.next().expect("fourth").expect("accepted");
    let repeat = answers.next().expect("fifth").expect("a repeat");
    assert!(repeat.repeated && !original.repeated && repeat.first == original.first);
    assert!(matches!(answers.next(), Some(Err(AppendError::CommandIdReused { .. }))));
    assert_eq!(texts_of(&engine, "a-1"), ["one", "two", "three"]);
}

#[test]
fn what_is_over_a_limit_or_malformed_is_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::default().event_bytes_max(100).batch_events_max(2).queue_appends_max(1);
    let engine = Engine::open(directory.path(), options.drive(Drive::Manual)).expect("opens");
    let with = |event: NewEvent| engine.append(Append::new(0).stream(stream("a-1"), ExpectedVersion::Any, vec![event]));
    let large = NewEvent { data: vec![0; 97], ..event("x") };
    assert!(matches!(with(large), Err(AppendError::EventTooLarge { bytes: 101, limit: 100 })));
    let tags = vec![Tag::new("a:b").expect("valid"); EVENT_TAGS_MAX + 1];
    let tagged = NewEvent { tags, ..event("x") };
    assert!(matches!(with(tagged), Err(AppendError::TooManyTags { found: 33 })));
    let unnamed = NewEvent { name: "".into(), ..event("x") };
    assert!(matches!(with(unnamed), Err(AppendError::InvalidEventName(_))));
    let many = engine.append(expecting("a-1", ExpectedVersion::Any, &["1", "2", "3"]));
    assert!(matches!(many, Err(AppendError::BatchTooLarge { what: "events", found: 3, limit: 2 })));
    assert!(matches!(engine.append(Append::new(0)), Err(AppendError::Empty)));
    let nothing = expecting("a-1", ExpectedVersion::NoStream, &[]);
    assert!(matches!(engine.append(nothing), Err(AppendError::Empty)));
    let twice = note("a-1", "1").stream(stream("a-1"), ExpectedVersion::Any, Vec::new());
    assert!(matches!(engine.append(twice), Err(AppendError::DuplicateStream { .. })));
    let _queued = engine.submit(note("a-1", "queued"));
    assert!(matches!(engine.append(note("a-1", "one too many")), Err(AppendError::Overloaded { limit: 1 })));
    assert_eq!(engine.heads().synced, Position::ZERO);
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_that_is_large_enough() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::default().segment_bytes(8_192);
    let large = "x".repeat(300_000);
    for drive in [Drive::Manual, Drive::Threads] {
        let engine = Engine::open(directory.path(), options.clone().drive(drive)).expect("opens");
        engine.append(note("small-1", "before")).expect("accepted");
        engine.append(expecting("large-1", ExpectedVersion::Any, &[&large, &large])).expect("accepted");
        engine.append(note("small-1", "after")).expect("accepted");
    }
    let engine = Engine::open(directory.path(), options).expect("opens");
    assert_eq!(texts_of(&engine, "small-1"), ["before", "after", "before", "after"]);
    assert!(texts_of(&engine, "large-1").iter().all(|text| *text == large));
    engine.verify(&mut |_| {}).expect("sound");
}

#[test]
fn an_append_whose_ticket_is_dropped_happens_all_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    drop(engine.submit(note("a-1", "one")));
    let receipt = wait(engine.submit(note("a-1", "two"))).expect("accepted");
    assert_eq!(receipt.last, Position::new(2));
    drop(engine.submit(note("a-1", "three")));
    // Closing does what is queued.
    drop(engine);
    assert_eq!(texts_of(&open(directory.path()), "a-1"), ["one", "two", "three"]);
}

#[test]
fn handles_tickets_and_waits_may_go_to_any_thread() {
    fn sendable<T: Send>() {}
    fn shareable<T: Send + Sync + Clone>() {}
    shareable::<Engine>();
    shareable::<factum_engine::StoredEvent>();
    sendable::<factum_engine::Ticket>();
    sendable::<factum_engine::SyncedBeyond>();
}

#[test]
fn concurrent_appends_of_many_threads_all_happen_once_in_dense_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for number in 0..25_u64 {
                    let expected = ExpectedVersion::Exact(Version::new(number));
                    let append = expecting(&format!("w-{writer}"), expected, &[&number.to_string()]);
                    let receipt = if number % 2 == 0 { engine.append(append) } else { wait(engine.submit(append)) };
                    assert_eq!(receipt.expect("accepted").streams[0].1, Version::new(number + 1));
                }
            });
        }
    });
    assert_eq!(all_texts(&engine).len(), 200);
    for writer in 0..8 {
        assert_eq!(texts_of(&engine, &format!("w-{writer}")).len(), 25);
    }
    engine.verify(&mut |_| {}).expect("sound");
}

/// Much is looked up when an append is queued, so that the writer need not: it must not be believed once it is old.
#[test]
fn an_append_that_waited_is_judged_by_the_log_as_it_is_then() {
    const LARGE_BYTES: usize = 1 << 20;
    let disk = SimDisk::new();
    let options = Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192);
    let engine = Engine::open_on(Arc::new(disk.clone()), options).expect("opens");
    for number in 0..6 {
        engine.append(note(&format!("early-{number}"), &"x".repeat(2_000))).expect("accepted");
    }
    let indexes = || disk.list().expect("listed").into_iter().filter(|name| name.starts_with("index-")).count();
    assert!(indexes() > 0, "there is something to be looked up in files");
    // Each is a group and a segment of its own, so that the first has an index file when the last are judged.
    let large = |name: &str| {
        let tags = vec![Tag::new("k:late").expect("valid")];
        let large = || NewEvent { data: vec![7; LARGE_BYTES - 4], tags: tags.clone(), ..event("x") };
        Append::new(1).stream(stream(name), ExpectedVersion::NoStream, (0..5).map(|_| large()).collect())
    };
    let earlier = [large("late-1").command(command(9, 9)), large("late-2"), large("late-3"), large("late-4")];
    let earlier = earlier.map(|append| engine.submit(append));
    let unique = Boundary::nothing_like(Clause::tags([Tag::new("k:late").expect("valid")]));
    let stale = engine.submit(expecting("late-1", ExpectedVersion::NoStream, &["stale"]));
    let crossing = engine.submit(note("other-1", "crossing").unless(unique));
    let repeat = engine.submit(note("other-1", "repeat").command(command(9, 9)));
    while engine.step() > 0 {}
    let [first, ..] = earlier.map(|ticket| now(ticket).expect("accepted"));
    assert!(matches!(now(stale), Err(AppendError::Conflict { actual, .. }) if actual == Version::new(5)));
    match now(crossing) {
        Err(AppendError::BoundaryCrossed { found, .. }) => assert_eq!(found, first.first),
        other => panic!("{other:?}"),
    }
    let repeat = now(repeat).expect("answered");
    assert!(repeat.repeated && repeat.first == first.first, "{repeat:?}");
}
