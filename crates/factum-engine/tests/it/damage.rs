//! Bytes that are not what was written.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use factum_engine::sim::SimDisk;
use factum_engine::{
    Direction, Disk, DiskFile, Drive, Engine, Entropy, OpenError, Options, Position, ReadError, Selection, VerifyError,
    Version,
};

use crate::support::{all_texts, note, stream};

const LOG: &str = "segment-00000001.log";

fn options() -> Options {
    Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192)
}

fn open(disk: &SimDisk) -> Result<Engine, OpenError> {
    Engine::open_on(Arc::new(disk.clone()), options())
}

/// A store of three groups, killed, and the offset of each group's end.
fn three_groups() -> (SimDisk, Vec<usize>) {
    let disk = SimDisk::new();
    let engine = open(&disk).expect("opens");
    let mut ends = Vec::new();
    for text in ["first", "second", "third"] {
        engine.append(note("a-1", text)).expect("accepted");
        let log = disk.contents(LOG).expect("a log");
        ends.push(log.iter().rposition(|byte| *byte != 0).expect("bytes") + 1);
    }
    (disk.after_kill(), ends)
}

fn flip(disk: &SimDisk, name: &str, at: usize) {
    let mut bytes = disk.contents(name).expect("a file");
    bytes[at] ^= 0x10;
    disk.tamper(name, &bytes);
}

#[test]
fn damage_before_the_last_group_is_refused_with_segment_offset_and_position() {
    let (disk, ends) = three_groups();
    for at in 4_096..ends[1] {
        let disk = disk.after_kill();
        flip(&disk, LOG, at);
        let group = ends.iter().filter(|end| **end <= at).count();
        match open(&disk) {
            Err(OpenError::Corrupt(damage)) => {
                assert_eq!((damage.segment, damage.position.get()), (1, group as u64 + 1), "{at}: {damage}");
                let start = if group == 0 { 4_096 } else { ends[group - 1] };
                assert!((start..=at).contains(&(damage.offset as usize)), "{at}: {damage}");
            }
            other => panic!("flipped at {at}: {other:?}"),
        }
    }
}

#[test]
fn damage_in_the_last_group_cannot_be_told_from_a_torn_write_and_is_cut_and_reported() {
    let (disk, ends) = three_groups();
    for at in ends[1]..ends[2] {
        let disk = disk.after_kill();
        flip(&disk, LOG, at);
        let engine = open(&disk).expect("opens");
        assert_eq!(all_texts(&engine).len(), 2, "flipped at {at}");
        let cut = engine.recovery().cut.as_ref().expect("reported");
        assert_eq!(cut.offset as usize, ends[1]);
    }
}

#[test]
fn damage_while_the_store_is_open_is_never_served() {
    let (disk, ends) = three_groups();
    let engine = open(&disk).expect("opens");
    // A byte of the second event's data.
    flip(&disk, LOG, ends[1] - 1);
    match engine.read(&Selection::everything(), Position::ZERO, Direction::Forward, 10) {
        Err(ReadError::Corrupt(damage)) => assert_eq!((damage.segment, damage.position.get()), (1, 2)),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        engine.read(&Selection::everything(), Position::new(2), Direction::Forward, 10).expect("sound").events.len(),
        1
    );
    match engine.verify(&mut |_| {}) {
        Err(VerifyError::Corrupt(damage)) => assert_eq!((damage.segment, damage.position.get()), (1, 2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_segment_or_identity_is_refused_and_never_made_anew() {
    let disk = SimDisk::new();
    let engine = open(&disk).expect("opens");
    for _ in 0..10 {
        engine.append(note("a-1", &"x".repeat(1_500))).expect("accepted");
    }
    drop(engine);
    let names = ["identity", "segment-00000001.log", "segment-00000002.log"];
    for missing in names {
        let other = SimDisk::new();
        for name in names.into_iter().chain(["segment-00000003.log"]).filter(|name| *name != missing) {
            other.tamper(name, &disk.contents(name).expect("a file"));
        }
        match (missing, open(&other)) {
            ("identity", Err(OpenError::Identity { .. })) => {}
            (_, Err(OpenError::Corrupt(damage))) => assert_eq!(damage.what, "the segment is missing"),
            (_, other) => panic!("{missing}: {other:?}"),
        }
    }
}

#[test]
fn a_segment_of_another_store_is_refused() {
    let (one, _) = three_groups();
    let two = SimDisk::new();
    let seeded = options().entropy(Entropy::Seeded(2));
    Engine::open_on(Arc::new(two.clone()), seeded).expect("opens").append(note("a-1", "other")).expect("accepted");
    one.tamper(LOG, &two.contents(LOG).expect("a log"));
    match open(&one) {
        Err(OpenError::Corrupt(damage)) => assert_eq!(damage.what, "a segment of another store"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn history_rewritten_with_sound_checksums_is_detected_by_its_chain() {
    // The same store, by the same seed, with another first event: each byte is sound, but not the history.
    let history = |first: &str| {
        let disk = SimDisk::new();
        let engine = open(&disk).expect("opens");
        for text in [first, "second", "third"] {
            engine.append(note("a-1", text)).expect("accepted");
        }
        let hash = engine.verify(&mut |_| {}).expect("sound").hash;
        (disk.after_kill(), hash)
    };
    let ((truth, true_hash), (forged, forged_hash)) = (history("honest"), history("forged"));
    assert_ne!(true_hash, forged_hash);
    let (mut log, other) = (truth.contents(LOG).expect("a log"), forged.contents(LOG).expect("a log"));
    let second = log.windows(4).enumerate().filter(|(_, bytes)| *bytes == b"FGRP").nth(1).expect("a group").0;
    log[..second].copy_from_slice(&other[..second]);
    truth.tamper(LOG, &log);
    let engine = open(&truth).expect("every checksum holds");
    match engine.verify(&mut |_| {}) {
        Err(VerifyError::Corrupt(damage)) => {
            assert_eq!((damage.what, damage.position.get()), ("the chain of hashes is broken", 2));
        }
        other => panic!("{other:?}"),
    }
}

/// A whole sealed segment forged, sound in itself: the segment behind it tells.
#[test]
fn a_sealed_segment_rewritten_with_sound_checksums_is_detected_by_the_chain_of_the_next() {
    let history = |text: &str| {
        let disk = SimDisk::new();
        let engine = open(&disk).expect("opens");
        for _ in 0..8 {
            engine.append(note("a-1", &text.repeat(1_500))).expect("accepted");
        }
        engine.close().expect("closes");
        disk.after_kill()
    };
    let (truth, forged) = (history("x"), history("y"));
    truth.tamper(LOG, &forged.contents(LOG).expect("a log"));
    // With its index file the segment is not scanned when the store is opened.
    let engine = open(&truth).expect("opens");
    match engine.verify(&mut |_| {}) {
        Err(VerifyError::Corrupt(damage)) => assert_eq!(damage.what, "the chain of hashes is broken", "{damage}"),
        other => panic!("{other:?}"),
    }
    drop(engine);
    let truth = truth.after_kill();
    let indexes: Vec<_> = truth.list().expect("listed").into_iter().filter(|name| name.starts_with("index-")).collect();
    assert!(!indexes.is_empty());
    indexes.iter().for_each(|name| truth.remove(name).expect("removed"));
    match open(&truth) {
        Err(OpenError::Corrupt(damage)) => {
            assert_eq!((damage.segment, damage.what), (1, "the log does not end where the next segment begins"));
        }
        other => panic!("{other:?}"),
    }
}

/// A copy that was written to, and went another way, has the same identity; only the hashes of its history differ.
#[test]
fn an_index_file_of_another_history_is_made_anew() {
    // The same store, by the same seed, with other streams: everything stands at the same places.
    let history = |streams: [&str; 2]| {
        let disk = SimDisk::new();
        let engine = open(&disk).expect("opens");
        for number in 0..12 {
            engine.append(note(streams[number % 2], &"x".repeat(1_500))).expect("accepted");
        }
        engine.close().expect("closes");
        disk.after_kill()
    };
    let (truth, other) = (history(["a-1", "b-1"]), history(["b-1", "a-1"]));
    let names: Vec<_> = truth.list().expect("listed").into_iter().filter(|name| name.starts_with("index-")).collect();
    assert!(!names.is_empty());
    for name in &names {
        truth.tamper(name, &other.contents(name).expect("the same files"));
    }
    let engine = open(&truth).expect("opens");
    let page = engine.read_stream(&stream("a-1"), Version::ZERO, Direction::Forward, 100).expect("readable");
    let positions: Vec<_> = page.events.iter().map(|event| event.position().get()).collect();
    assert_eq!(positions, [1, 3, 5, 7, 9, 11]);
    assert_eq!(engine.stream_version(&stream("b-1")).expect("readable"), Version::new(6));
}

/// A disk with files whose sectors it cannot read any more, until others are put in their place.
#[derive(Clone)]
struct Worn {
    disk: SimDisk,
    unreadable: Arc<Mutex<BTreeSet<String>>>,
}

struct WornFile {
    file: Arc<dyn DiskFile>,
    name: String,
    unreadable: Arc<Mutex<BTreeSet<String>>>,
}

impl Worn {
    fn wear(&self) -> usize {
        let names = self.disk.list().expect("listed").into_iter().filter(|name| name.starts_with("index-"));
        let mut unreadable = self.unreadable.lock().expect("no panic");
        *unreadable = names.collect();
        unreadable.len()
    }

    fn file(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(WornFile { file, name: name.to_owned(), unreadable: self.unreadable.clone() })
    }
}

impl DiskFile for WornFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.unreadable.lock().expect("no panic").contains(&self.name) {
            return Err(io::Error::other("a sector that cannot be read"));
        }
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl Disk for Worn {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.disk.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.disk.open(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)?;
        self.unreadable.lock().expect("no panic").remove(to);
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(name)
    }
}

#[test]
fn index_files_that_cannot_be_read_are_made_anew_like_altered_ones() {
    let disk = Worn { disk: SimDisk::new(), unreadable: Arc::default() };
    let open = || Engine::open_on(Arc::new(disk.clone()), options()).expect("opens");
    let engine = open();
    for number in 0..40_u8 {
        let text = format!("{number} {}", "x".repeat(1_000));
        engine.append(note(&format!("s-{}", number % 7), &text)).expect("accepted");
    }
    let told = all_texts(&engine);
    engine.close().expect("closes");

    // While the store is open.
    let engine = open();
    assert!(disk.wear() > 1);
    assert_eq!(all_texts(&engine), told);
    assert!(engine.index_status().rebuilt_files > 0);
    engine.append(note("s-0", "more")).expect("accepted");
    engine.close().expect("closes");

    // When it is opened.
    assert!(disk.wear() > 1);
    let engine = open();
    let again = all_texts(&engine);
    assert_eq!((&again[..told.len()], again.len()), (&told[..], told.len() + 1));
}
