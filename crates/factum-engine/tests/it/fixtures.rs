//! Stores written by released formats, which every later version reads.

use std::fs;
use std::path::{Path, PathBuf};

use factum_engine::{
    Append, Direction, Drive, Engine, Entropy, ExpectedVersion, NewEvent, Options, Position, Selection, Tag, Version,
};

use crate::support::{all_texts, command, event, note, stream};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1")
}

fn options() -> Options {
    Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192)
}

/// What the fixture holds. Its bytes are kept for ever: this is how they were made.
#[test]
#[ignore = "makes the fixture anew; only for a format that was not released yet"]
fn make_the_fixture() {
    let directory = fixture();
    if directory.exists() {
        fs::remove_dir_all(&directory).expect("removed");
    }
    let engine = Engine::open(&directory, options()).expect("opens");
    let tagged = NewEvent {
        tags: vec![Tag::new("holder:ada").expect("valid"), Tag::new("kind:savings").expect("valid")],
        schema: 3,
        ..event("opened")
    };
    let first = Append::new(1_700_000_000_000_000)
        .stream(stream("account-1"), ExpectedVersion::NoStream, vec![tagged, event("deposited")])
        .stream(stream("holder-ada"), ExpectedVersion::Any, Vec::new())
        .stream(stream("audit"), ExpectedVersion::Any, vec![event("noted")])
        .command(command(1, 2));
    engine.append(first).expect("accepted");
    for number in 0..12 {
        let text = format!("{number}").repeat(500);
        engine.append(note("account-2", &text)).expect("accepted");
    }
    engine.claim_progress("relay").expect("claimed");
    engine.advance_progress("relay", 1, None, b"15").expect("advanced");
    engine.close().expect("closes");
    fs::remove_file(directory.join("lock")).expect("removed");
}

#[test]
fn a_store_of_format_1_is_read_verified_and_continued() {
    let directory = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(fixture()).expect("the fixture") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, directory.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    let engine = Engine::open(directory.path(), options()).expect("opens");
    assert!(engine.recovery().clean);
    let report = engine.verify(&mut |_| {}).expect("sound");
    assert_eq!((report.events, report.batches, report.groups, report.segments), (15, 13, 13, 3));
    let hash: String = report.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, HASH);

    let page = engine.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1).expect("readable");
    let [opened] = page.events.as_slice() else { panic!("{page:?}") };
    assert_eq!((opened.stream(), opened.name(), opened.schema()), ("account-1", "note.taken", 3));
    assert_eq!((opened.recorded_at(), opened.command()), (1_700_000_000_000_000, Some(command(1, 2))));
    assert_eq!(opened.tags().collect::<Vec<_>>(), ["holder:ada", "kind:savings"]);
    let known = engine.command([1; 16]).expect("readable").expect("known");
    let versions: Vec<_> = known.receipt.streams.iter().map(|(name, version)| (name.as_str(), version.get())).collect();
    assert_eq!(versions, [("account-1", 2), ("holder-ada", 0), ("audit", 1)]);
    assert_eq!(all_texts(&engine)[14].1, "11".repeat(500));
    let progress = engine.progress("relay").expect("readable");
    assert_eq!((progress.epoch, progress.value), (1, Some(b"15".to_vec())));
    assert_eq!(engine.identity().forks, []);

    let receipt = engine.append(note("account-2", "continued")).expect("accepted");
    assert_eq!(receipt.streams, [(stream("account-2"), Version::new(13))]);
}

/// Hash of the fixture's last batch.
const HASH: &str = "166d8157b038c64e7ec345dcc66a77080babd111bb8f8a718b99c9d993e47c17";
