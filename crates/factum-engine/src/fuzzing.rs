//! Every decoder of bytes from the disk, described for the fuzzer. `tests/corpus` keeps inputs that end in different ways.

mod indexes;
mod mend;

use std::path::Path;
use std::sync::Arc;

use fuzz::{Run, Target};

use crate::disk::Disk;
use crate::format::batch::{BatchHead, GENESIS, RecordFields, check_record};
use crate::format::group::{GroupHeader, proves_synced};
use crate::format::small::{self, CloseMarker, HeadSlot, ProgressSlot, SegmentHeader, Unusable};
use crate::format::{SEGMENT_HEADER_BYTES, mask};
use crate::head::{HEAD_FILE, HEAD_SLOT_BYTES};
use crate::identity::{Fork, Identity};
use crate::options::{Drive, Entropy, Options};
use crate::scan::{Chain, Cursor, next_group};
use crate::sim::SimDisk;
use crate::{
    Append, CommandRecord, Direction, Engine, ExpectedVersion, Follower, FollowerOptions, NewEvent, Position,
    ReadError, Selection, StreamName, Tag, restore_on,
};

const LOG: &str = "segment-00000001.log";
/// Executions in the ordinary run of the tests.
const EXECUTIONS: u64 = 20_000;

fn options() -> Options {
    Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192)
}

fn event(name: &'static str, tags: &[&str], data: &str) -> NewEvent {
    let tags = tags.iter().map(|tag| Tag::new(tag).expect("valid")).collect();
    NewEvent { id: [3; 16], name: name.into(), schema: 2, tags, metadata: b"meta".to_vec(), data: data.into() }
}

/// A small store with everything in it: several groups, streams, a command, tags, progress.
fn store() -> SimDisk {
    let disk = SimDisk::new();
    let engine = Engine::open_on(Arc::new(disk.clone()), options()).expect("opens");
    let name = |name| StreamName::new(name).expect("valid");
    let first = Append::new(7)
        .stream(name("a-1"), ExpectedVersion::Any, vec![event("a", &["k:1", "k:2"], "one"), event("b", &[], "")])
        .stream(name("b-1"), ExpectedVersion::Any, Vec::new())
        .stream(name("ü-1"), ExpectedVersion::Any, vec![event("c", &["ü:ü"], "two")])
        .command(CommandRecord { id: [1; 16], fingerprint: [2; 16] });
    engine.append(first).expect("accepted");
    for text in ["three", "four"] {
        let append = Append::new(8).stream(name("a-1"), ExpectedVersion::Any, vec![event("a", &[], text)]);
        engine.append(append).expect("accepted");
    }
    engine.claim_progress("relay").expect("claimed");
    engine.advance_progress("relay", 1, None, b"3").expect("advanced");
    engine.close().expect("closes");
    disk
}

fn file(disk: &SimDisk, name: &str) -> Vec<u8> {
    disk.contents(name).expect("a file")
}

/// Without the zeros at its end, which the targets put back: inputs stay small.
fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    bytes
}

/// A segment of full length that begins like this.
fn segment_of(bytes: &[u8]) -> Vec<u8> {
    let mut segment = bytes.to_vec();
    segment.resize(8_192, 0);
    segment
}

/// The store's identity, as its log's checksums need it.
fn incarnation() -> [u8; 16] {
    Identity::mint(Entropy::Seeded(1)).expect("seeded").incarnation
}

/// How a small file ended; what was read must be read again from its own encoding.
fn ended<T: PartialEq + std::fmt::Debug>(
    decode: impl Fn(&[u8]) -> Result<T, Unusable>,
    encode: impl Fn(&T) -> Vec<u8>,
    bytes: &[u8],
) -> String {
    match decode(bytes) {
        Ok(value) => {
            assert_eq!(decode(&encode(&value)), Ok(value), "written as it was read");
            "read".to_owned()
        }
        Err(Unusable::Newer(_)) => "newer".to_owned(),
        Err(Unusable::Damaged) => "damaged".to_owned(),
    }
}

fn small_files() -> Vec<Target> {
    let disk = store();
    let progress =
        Disk::list(&disk).expect("listed").into_iter().find(|name| name.starts_with("progress-")).expect("a record");
    let slot = file(&disk, &progress);
    let sidemask = mask(&incarnation(), 0);
    let mut forked = small::decode_identity(&file(&disk, "identity")).expect("sound");
    forked.forks = vec![Fork { parent: [4; 16], position: Position::new(3), hash: [5; 32] }; 2];
    vec![
        Target::new("segment-header", [trimmed(file(&disk, LOG)[..SEGMENT_HEADER_BYTES as usize].to_vec())], |bytes| {
            ended(SegmentHeader::decode, SegmentHeader::encode, bytes)
        })
        .mend(|bytes| {
            mend::small_by(bytes, |body| match (body.get(16..32), body.get(32..36)) {
                (Some(_), Some(_)) => mask(&crate::format::array_at(body, 16), crate::format::u32_at(body, 32)),
                _ => 0,
            })
        }),
        Target::new("identity", [file(&disk, "identity"), small::encode_identity(&forked)], |bytes| {
            ended(small::decode_identity, small::encode_identity, bytes)
        })
        .mend(|bytes| mend::small(bytes, 0)),
        Target::new(
            "head",
            file(&disk, HEAD_FILE).chunks(HEAD_SLOT_BYTES).map(|slot| trimmed(slot.to_vec())),
            |bytes| ended(HeadSlot::decode, HeadSlot::encode, bytes),
        )
        .mend(|bytes| mend::small(bytes, 0)),
        Target::new("closed", [file(&disk, "closed")], move |bytes| {
            ended(|bytes| CloseMarker::decode(bytes, sidemask), |marker| marker.encode(sidemask), bytes)
        })
        .mend(move |bytes| mend::small(bytes, sidemask)),
        Target::new(
            "progress",
            [trimmed(slot[..slot.len() / 2].to_vec()), trimmed(slot[slot.len() / 2..].to_vec())],
            move |bytes| ended(|bytes| ProgressSlot::decode(bytes, sidemask), |slot| slot.encode(sidemask), bytes),
        )
        .mend(move |bytes| mend::small(bytes, sidemask)),
    ]
}

/// Bytes of the log: a group's header, a batch's head, a record, all of them one behind the other.
fn log() -> Vec<Target> {
    let segment = trimmed(file(&store(), LOG));
    let (groups, mask) = (mend::groups(&segment), mask(&incarnation(), 1));
    let heads: Vec<_> = groups.iter().map(|group| segment[group.start..group.start + 64].to_vec()).collect();
    let batches: Vec<_> = groups.iter().map(|group| segment[group.start + 64..group.end].to_vec()).collect();
    let records =
        batches.iter().flat_map(|batch| mend::records(batch).into_iter().map(|record| batch[record].to_vec()));
    vec![
        Target::new("group-header", heads, move |bytes| match GroupHeader::read(bytes, 4_096, mask) {
            Some(header) => {
                let mut written = [0; 64];
                header.write(&mut written, mask);
                assert_eq!(GroupHeader::read(&written, 4_096, mask), Some(header), "written as it was read");
                "read".to_owned()
            }
            None => "refused".to_owned(),
        })
        .mend(move |bytes| mend::group_header(bytes, mask)),
        Target::new("batch", batches.clone(), move |bytes| batch_ended(bytes, mask))
            .mend(move |bytes| mend::batch(bytes, mask)),
        Target::new("record", records, move |bytes| record_ended(bytes, mask))
            .mend(move |bytes| mend::record(bytes, mask)),
        Target::new("segment", [segment.clone()], move |bytes| segment_ended(&segment_of(bytes), mask))
            .mend(move |bytes| mend::segment(bytes, mask)),
        Target::new("later-group", [segment], move |bytes| {
            proves_synced(&segment_of(bytes), SEGMENT_HEADER_BYTES as usize, 2, mask).to_string()
        })
        .mend(move |bytes| mend::segment(bytes, mask)),
    ]
}

fn batch_ended(bytes: &[u8], mask: u32) -> String {
    let head = match BatchHead::read(bytes, mask) {
        Ok(head) => head,
        Err(what) => return what.to_owned(),
    };
    let events: usize = head.streams().map(|stream| usize::from(stream.events)).sum();
    assert_eq!(events, usize::from(head.events));
    let mut end = head.head_bytes();
    for ordinal in 0..head.events {
        let record = head.record(ordinal);
        assert!(record.start == end && record.end > record.start, "records lie one behind the other");
        end = record.end;
    }
    assert_eq!(end, head.length as usize);
    if bytes.len() >= end {
        assert_ne!(head.link(bytes), GENESIS);
    }
    format!("read, command {}", head.command().is_some())
}

fn record_ended(bytes: &[u8], mask: u32) -> String {
    match check_record(bytes, mask) {
        Ok(()) => {
            let fields = RecordFields::of(bytes);
            assert!(fields.metadata.end <= bytes.len());
            let tags = crate::format::batch::tags(bytes).count();
            assert_eq!(tags, usize::from(bytes[33]));
            format!("read, {} bytes of name", crate::format::batch::name(bytes).len().min(2))
        }
        Err(what) => what.to_owned(),
    }
}

fn segment_ended(segment: &[u8], mask: u32) -> String {
    let mut walks = [Chain::Skipped, Chain::Checked].map(|chain| {
        let mut cursor = Cursor::at_segment(1, 1, GENESIS);
        let fault = loop {
            let before = cursor.offset;
            match next_group(segment, mask, chain, &mut cursor) {
                Ok(_) => assert!(cursor.offset > before, "a walk goes forward"),
                Err(fault) => break fault,
            }
        };
        assert!(fault.offset as usize <= segment.len() && fault.position > 0);
        (cursor.group, fault.what)
    });
    // What the chain refuses, checksums alone may let pass, never the other way round.
    assert!(walks[0].0 >= walks[1].0);
    let (groups, what) = std::mem::take(&mut walks[1]);
    format!("{what}, {}", if groups == 0 { "at once" } else { "later" })
}

/// A whole store whose log begins like this, opened, read and verified.
fn opened() -> Target {
    let disk = store();
    let (identity, mask) = (file(&disk, "identity"), mask(&incarnation(), 1));
    Target::new("store", [trimmed(file(&disk, LOG))], move |bytes| {
        let disk = SimDisk::new();
        disk.tamper("identity", &identity);
        disk.tamper(LOG, &segment_of(bytes));
        let engine = match Engine::open_on(Arc::new(disk), options()) {
            Ok(engine) => engine,
            Err(error) => return told(&error),
        };
        let head = engine.heads().synced.get();
        let page = engine.read(&Selection::everything(), Position::ZERO, Direction::Forward, usize::MAX);
        let page = page.expect("what was found sound when it was opened is served");
        assert_eq!(page.events.len() as u64, head);
        for event in &page.events {
            // Names that nobody can give are found only where they are made into one: no damage with a sound checksum.
            let Ok(stream) = StreamName::new(event.stream()) else { return "a forged name".to_owned() };
            assert!(engine.stream_version(&stream).expect("readable") >= event.version());
            match event.command().map(|command| engine.command(command.id)) {
                Some(Err(ReadError::Corrupt(damage))) if damage.what == "stream name of a batch" => {
                    return "a forged name".to_owned();
                }
                known => assert!(!matches!(known, Some(Err(_) | Ok(None))), "what is served is known: {known:?}"),
            }
            assert!(event.tags().count() <= usize::from(u8::MAX) && !event.name().contains('\0') || head > 0);
        }
        let verified = engine.verify(&mut |_| {}).is_ok();
        format!("opened with {}, cut {}, verified {verified}", head.min(6), engine.recovery().cut.is_some())
    })
    .mend(move |bytes| mend::segment(bytes, mask))
    .costly()
}

/// The beginning of an error's text, without numbers.
fn told(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let parts: String = text.split([',', ':']).take(2).collect();
    parts.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// The same store restored from a copy: what opening the copy finds, or a refusal.
fn restored() -> Target {
    let disk = store();
    let (identity, mask) = (file(&disk, "identity"), mask(&incarnation(), 1));
    Target::new("copy", [trimmed(file(&disk, LOG))], move |bytes| {
        let (copy, target) = (SimDisk::new(), SimDisk::new());
        copy.tamper("identity", &identity);
        copy.tamper(LOG, &segment_of(bytes));
        let report = match restore_on(&copy, &target, &options().entropy(Entropy::Seeded(2))) {
            Ok(report) => report,
            Err(error) => return told(&error),
        };
        let open = |disk: SimDisk| Engine::open_on(Arc::new(disk), options());
        let (restored, opened) = match (open(target), open(copy)) {
            (Ok(restored), Ok(opened)) => (restored, opened),
            // A restore does not count versions: nothing but a forger with the store's checksums gets that far.
            (Err(restored), Err(opened)) => {
                assert_eq!(told(&restored), told(&opened));
                assert!(told(&opened).contains("not dense"), "{opened}");
                return "restored, not dense".to_owned();
            }
            (restored, opened) => panic!("restored: {restored:?}, opened: {opened:?}"),
        };
        assert_eq!(restored.heads(), opened.heads());
        assert_eq!(restored.verify(&mut |_| {}).expect("checked").hash, report.fork.hash);
        format!("restored {}, left behind {}", restored.heads().synced.get().min(6), report.left_behind.is_some())
    })
    .mend(move |bytes| mend::segment(bytes, mask))
    .costly()
}

/// The same store followed: the head file is sound and says what the log must lead to.
fn followed() -> Target {
    let disk = store();
    let (identity, head, mask) = (file(&disk, "identity"), file(&disk, HEAD_FILE), mask(&incarnation(), 1));
    let truth = trimmed(file(&disk, LOG));
    Target::new("followed", [truth.clone()], move |bytes| {
        let disk = SimDisk::new();
        disk.tamper("identity", &identity);
        disk.tamper(HEAD_FILE, &head);
        disk.tamper(LOG, &segment_of(bytes));
        let follower = match Follower::open_on(Arc::new(disk), FollowerOptions::default().drive(Drive::Manual)) {
            Ok(follower) => follower,
            Err(error) => return told(&error),
        };
        assert_eq!(follower.synced(), Position::new(5), "it shows all that the head file names, or nothing");
        let page = follower.read(&Selection::everything(), Position::ZERO, Direction::Forward, usize::MAX);
        assert_eq!(page.expect("what was walked is served").events.len(), 5);
        format!("followed, the log as it was {}", bytes.starts_with(&truth))
    })
    .mend(move |bytes| mend::segment(bytes, mask))
    .costly()
}

fn targets() -> Vec<Target> {
    let mut targets = small_files();
    targets.extend(log());
    targets.extend([opened(), restored(), followed()]);
    targets.extend(indexes::targets());
    targets
}

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

#[test]
fn the_corpus_and_some_thousands_of_mutations_harm_no_decoder() {
    let calls = fuzz::replay(&targets(), corpus());
    assert!(calls > 40, "{calls} inputs in the corpus");
    let outcomes = fuzz::run(&targets(), corpus(), Run { executions: EXECUTIONS, seed: 1, keep: false });
    for outcome in outcomes {
        assert!(outcome.endings.len() > 1, "{outcome:?} reaches only one ending");
    }
}

#[test]
#[ignore = "minutes; cargo xtask fuzz"]
fn long() {
    fuzz::run(&targets(), corpus(), Run::from_environment());
}
