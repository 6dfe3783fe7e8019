//! Every limit: what is at it is taken, what is over it is refused by name, and nothing is written.

use std::sync::Arc;

use factum_engine::sim::SimDisk;
use factum_engine::{
    Append, AppendError, BATCH_BYTES_MAX, BATCH_EVENTS_DEFAULT, BATCH_EVENTS_LIMIT, BATCH_STREAMS_MAX, CUT_FILES_MAX,
    Disk, Drive, EVENT_BYTES_DEFAULT, EVENT_BYTES_LIMIT, EVENT_NAME_BYTES_MAX, EVENT_TAGS_MAX, Engine, Entropy,
    ExpectedVersion, NewEvent, OpenError, Options, PAGE_BYTES_LIMIT, PROGRESS_BYTES_MAX, PROGRESS_NAME_BYTES_MAX,
    ProgressError, SEGMENT_BYTES_LIMIT, SEGMENT_BYTES_MIN, STREAM_NAME_BYTES_MAX, StreamName, TAG_BYTES_MAX, Tag,
};

use crate::support::{all_texts, event, note, stream};

fn options() -> Options {
    Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1))
}

fn open(disk: &SimDisk, options: Options) -> Engine {
    Engine::open_on(Arc::new(disk.clone()), options).expect("opens")
}

fn to_one_stream(events: Vec<NewEvent>) -> Append {
    Append::new(0).stream(stream("a-1"), ExpectedVersion::Any, events)
}

fn of_bytes(metadata: usize, data: usize) -> NewEvent {
    NewEvent { metadata: vec![1; metadata], data: vec![2; data], ..event("x") }
}

/// Streams of which only the version is checked, behind one that is appended to.
fn to_many_streams(count: usize) -> Append {
    let append = note("a-0", "x");
    (1..count).fold(append, |append, number| {
        append.stream(stream(&format!("b-{number}")), ExpectedVersion::NoStream, Vec::new())
    })
}

#[test]
fn what_is_at_a_limit_is_taken_and_what_is_over_it_refused_by_name_with_nothing_written() {
    let disk = SimDisk::new();
    let engine = open(&disk, options());
    let refused = |append: Append| {
        let before = disk.operations();
        let error = engine.append(append).expect_err("over a limit");
        assert_eq!(disk.operations(), before, "{error}: nothing is written");
        let (text, heads) = (error.to_string(), engine.heads());
        assert!(text.chars().any(|character| character.is_ascii_digit()) || text.contains("too long"), "{text}");
        assert_eq!(heads.written, heads.synced);
        error
    };
    let taken = |append: Append| drop(engine.append(append).expect("at the limit"));

    taken(to_one_stream(vec![of_bytes(1 << 19, EVENT_BYTES_DEFAULT - (1 << 19))]));
    let over = refused(to_one_stream(vec![of_bytes(1 << 19, EVENT_BYTES_DEFAULT - (1 << 19) + 1)]));
    let (one_more, limit) = (EVENT_BYTES_DEFAULT + 1, EVENT_BYTES_DEFAULT);
    assert!(matches!(over, AppendError::EventTooLarge { bytes, limit: at } if (bytes, at) == (one_more, limit)));

    taken(to_one_stream(vec![event("x"); BATCH_EVENTS_DEFAULT]));
    let over = refused(to_one_stream(vec![event("x"); BATCH_EVENTS_DEFAULT + 1]));
    assert!(matches!(over, AppendError::BatchTooLarge { what: "events", found: 1_025, limit: 1_024 }));

    taken(to_many_streams(BATCH_STREAMS_MAX));
    let over = refused(to_many_streams(BATCH_STREAMS_MAX + 1));
    assert!(matches!(over, AppendError::BatchTooLarge { what: "streams", found: 1_025, limit: 1_024 }));

    let over = refused(to_one_stream(vec![of_bytes(0, EVENT_BYTES_DEFAULT); 32]));
    assert!(matches!(over, AppendError::BatchTooLarge { what: "bytes", limit: BATCH_BYTES_MAX, .. }));

    let tag = Tag::new(format!("a:{}", "x".repeat(TAG_BYTES_MAX - 2))).expect("at the limit");
    assert!(Tag::new(format!("a:{}", "x".repeat(TAG_BYTES_MAX - 1))).is_err());
    taken(to_one_stream(vec![NewEvent { tags: vec![tag.clone(); EVENT_TAGS_MAX], ..event("x") }]));
    let over = refused(to_one_stream(vec![NewEvent { tags: vec![tag; EVENT_TAGS_MAX + 1], ..event("x") }]));
    assert!(matches!(over, AppendError::TooManyTags { found: 33 }));

    taken(to_one_stream(vec![NewEvent { name: "n".repeat(EVENT_NAME_BYTES_MAX).into(), ..event("x") }]));
    let over = refused(to_one_stream(vec![NewEvent { name: "n".repeat(256).into(), ..event("x") }]));
    assert!(matches!(over, AppendError::InvalidEventName(_)));

    let longest = StreamName::new("s".repeat(STREAM_NAME_BYTES_MAX)).expect("at the limit");
    assert!(StreamName::new("s".repeat(STREAM_NAME_BYTES_MAX + 1)).is_err());
    taken(Append::new(0).stream(longest, ExpectedVersion::NoStream, vec![event("x")]));

    let events = engine.heads().written.get();
    engine.verify(&mut |_| {}).expect("sound");
    drop(engine);
    assert_eq!(open(&disk, options()).heads().synced.get(), events);
}

#[test]
fn limits_can_be_raised_as_far_as_the_format_goes_and_no_further() {
    let directory = tempfile::tempdir().expect("a directory");
    let wide = options().event_bytes_max(EVENT_BYTES_LIMIT).batch_events_max(BATCH_EVENTS_LIMIT);
    let engine = Engine::open(directory.path(), wide).expect("opens");
    engine.append(to_one_stream(vec![of_bytes(0, EVENT_BYTES_LIMIT)])).expect("at the limit");
    let over = engine.append(to_one_stream(vec![of_bytes(0, EVENT_BYTES_LIMIT + 1)]));
    assert!(matches!(over, Err(AppendError::EventTooLarge { .. })), "{over:?}");
    engine.append(to_one_stream(vec![event("x"); BATCH_EVENTS_LIMIT])).expect("at the limit");
    let over = engine.append(to_one_stream(vec![event("x"); BATCH_EVENTS_LIMIT + 1]));
    assert!(matches!(over, Err(AppendError::BatchTooLarge { what: "events", .. })), "{over:?}");
    assert_eq!(engine.heads().synced.get(), 1 + BATCH_EVENTS_LIMIT as u64);
    drop(engine);
    // Limits are of the opening: what is there is read whatever they are now.
    let engine = Engine::open(directory.path(), options()).expect("opens");
    engine.verify(&mut |_| {}).expect("sound");

    let disk = SimDisk::new();
    for wrong in [
        options().event_bytes_max(EVENT_BYTES_LIMIT + 1),
        options().event_bytes_max(0),
        options().batch_events_max(BATCH_EVENTS_LIMIT + 1),
        options().batch_events_max(0),
        options().segment_bytes(SEGMENT_BYTES_MIN - 4_096),
        options().segment_bytes(SEGMENT_BYTES_LIMIT + 4_096),
        options().segment_bytes(SEGMENT_BYTES_MIN + 1),
        options().queue_appends_max(0),
        options().page_bytes_max(0),
        options().page_bytes_max(PAGE_BYTES_LIMIT + 1),
    ] {
        let refused = Engine::open_on(Arc::new(disk.clone()), wrong);
        assert!(matches!(refused, Err(OpenError::Options(_))), "{refused:?}");
    }
    assert_eq!(disk.operations(), 0);
}

#[test]
fn progress_over_a_limit_is_refused_and_nothing_is_written() {
    let disk = SimDisk::new();
    let engine = open(&disk, options());
    let longest = "n".repeat(PROGRESS_NAME_BYTES_MAX);
    engine.claim_progress(&longest).expect("at the limit");
    engine.advance_progress(&longest, 1, None, &[1; PROGRESS_BYTES_MAX]).expect("at the limit");
    let before = disk.operations();
    let over = engine.advance_progress(&longest, 1, Some(&[1; PROGRESS_BYTES_MAX]), &[2; PROGRESS_BYTES_MAX + 1]);
    assert!(matches!(over, Err(ProgressError::TooLarge { bytes: 65_537 })), "{over:?}");
    for wrong in ["", "a\nb", &"n".repeat(PROGRESS_NAME_BYTES_MAX + 1)] {
        assert!(matches!(engine.claim_progress(wrong), Err(ProgressError::InvalidName)));
        assert!(matches!(engine.progress(wrong), Err(ProgressError::InvalidName)));
    }
    assert_eq!(disk.operations(), before);
    let progress = engine.progress(&longest).expect("readable").value;
    assert_eq!(progress, Some(vec![1; PROGRESS_BYTES_MAX]));
}

#[test]
fn every_file_of_a_newer_format_is_refused_by_name_and_left_alone() {
    let disk = SimDisk::new();
    let engine = open(&disk, options());
    engine.append(note("a-1", "one")).expect("accepted");
    engine.claim_progress("relay").expect("claimed");
    drop(engine);
    for file in ["identity", "segment-00000001.log", "closed", "head"] {
        let before = disk.contents(file).expect("there");
        let mut newer = before.clone();
        newer[8] = 9;
        disk.tamper(file, &newer);
        let refused = Engine::open_on(Arc::new(disk.clone()), options()).expect_err("newer");
        assert!(matches!(refused, OpenError::NewerFormat { found: 9, supported: 1 }), "{file}: {refused}");
        assert!(refused.to_string().contains("format 9"), "{refused}");
        assert_eq!(disk.contents(file).expect("there"), newer);
        disk.tamper(file, &before);
    }
    // A progress record is known by its name only: who asks for it is told.
    let names = disk.list().expect("readable");
    let file = names.iter().find(|name| name.starts_with("progress-")).expect("there");
    let mut newer = disk.contents(file).expect("there");
    let middle = newer.len() / 2;
    newer[middle + 8] = 9;
    disk.tamper(file, &newer);
    let engine = open(&disk, options());
    for refused in [engine.progress("relay"), engine.claim_progress("relay")] {
        assert!(matches!(refused, Err(ProgressError::NewerFormat { found: 9, .. })), "{refused:?}");
    }
    assert_eq!(disk.contents(file).expect("there"), newer);
    assert_eq!(all_texts(&engine).len(), 1, "the log is not concerned");
}

#[test]
fn of_cut_tails_only_the_newest_are_kept() {
    let mut disk = SimDisk::new();
    let mut sides = Vec::new();
    for cut in 0..CUT_FILES_MAX as u64 + 3 {
        let engine = open(&disk, options());
        engine.append(note("a-1", &format!("{cut}"))).expect("accepted");
        // Killed; then garbage is found behind the log.
        disk = disk.after_kill();
        let name = "segment-00000001.log";
        let mut log = disk.contents(name).expect("there");
        let end = log.iter().rposition(|byte| *byte != 0).expect("bytes") + 1;
        log[end..end + 10].fill(9);
        disk.tamper(name, &log);
        let engine = open(&disk, options());
        let report = engine.recovery();
        sides.push(report.cut.as_ref().expect("cut").side_file.clone());
        let removed: Vec<String> = if sides.len() > CUT_FILES_MAX { vec![sides.remove(0)] } else { Vec::new() };
        assert_eq!(report.cut_files_removed, removed, "cut {cut}");
    }
    let mut kept = disk.list().expect("readable");
    kept.retain(|name| name.starts_with("cut-"));
    kept.sort();
    sides.sort();
    assert_eq!(kept, sides);
    // What people named so themselves is theirs.
    disk.tamper("cut-and-kept", b"mine");
    drop(open(&disk, options()));
    assert!(disk.contents("cut-and-kept").is_some());
}

#[test]
fn openings_that_find_the_disk_full_leave_no_cut_file_each() {
    let disk = SimDisk::new();
    let engine = open(&disk, options());
    engine.append(note("a-1", "kept")).expect("accepted");
    drop(engine);
    let name = "segment-00000001.log";
    let mut log = disk.contents(name).expect("there");
    let end = log.iter().rposition(|byte| *byte != 0).expect("bytes") + 1;
    log[end..end + 10].fill(9);
    disk.tamper(name, &log);
    disk.remove("closed").expect("removed");
    disk.set_space(Some(4));
    let cut_files = || disk.list().expect("listed").into_iter().filter(|name| name.starts_with("cut-")).count();
    for _ in 0..3 {
        let refused = Engine::open_on(Arc::new(disk.clone()), options());
        assert!(matches!(&refused, Err(OpenError::DiskFull)), "{refused:?}");
        assert_eq!(cut_files(), 0);
    }
    disk.set_space(None);
    let engine = open(&disk, options());
    assert!(engine.recovery().cut.is_some());
    assert_eq!((cut_files(), all_texts(&engine).len()), (1, 1));
}
