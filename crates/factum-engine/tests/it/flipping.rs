//! Every bit of a small store's files, flipped: found and named, or of no account, or cut as a torn write; never served.
//!
//! The ordinary run of the tests takes one bit of each byte with a meaning of its own and of some others; [`long`] takes
//! all bits of all bytes, but of the zeros in a progress file, which nothing reads, one in many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use factum_engine::sim::SimDisk;
use factum_engine::{
    Clause, Direction, Disk, Drive, Engine, Entropy, INDEX_CACHE_BYTES_MIN, OpenError, Options, Position,
    ProgressError, ReadError, Selection, VerifyError, Version,
};

use crate::model::Fact;
use crate::support::{command, expecting, note, stream};

const THREADS: usize = 2;
const SEGMENT_HEADER_BYTES: usize = 4_096;
/// The head file's slots begin at its multiples, and the format's version is at 8 in each.
const SLOT_BYTES: usize = 512;
/// Bytes of text that make a batch too large for the rest of the first segment: it stands alone in the second.
const LARGE_BYTES: usize = 3_700;
/// In a quick sweep one of so many bytes without a meaning of their own is flipped.
const QUICK_STRIDE: usize = 256;

fn options() -> Options {
    let options = Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192);
    // So little that index files are read again and again.
    options.index_cache_bytes(INDEX_CACHE_BYTES_MIN)
}

fn open(disk: &SimDisk) -> Result<Engine, OpenError> {
    Engine::open_on(Arc::new(disk.clone()), options())
}

/// A store and what it holds.
struct Store {
    disk: SimDisk,
    facts: Vec<Fact>,
    /// What it answers by its index.
    indexed: Vec<String>,
    /// Events before the last group.
    before_last: usize,
    /// Where the last group begins and ends, in the last segment.
    last_group: std::ops::Range<usize>,
    clean: bool,
}

fn segment(number: usize) -> String {
    format!("segment-{number:08}.log")
}

fn end_of(disk: &SimDisk, name: &str) -> usize {
    let bytes = disk.contents(name).expect("a file");
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Three segments, five groups, a command, progress in both slots; closed or killed.
fn store(clean: bool) -> Store {
    let disk = SimDisk::new();
    let engine = open(&disk).expect("opens");
    engine.append(note("a-1", "one")).expect("accepted");
    engine.append(expecting("b-1", factum_engine::ExpectedVersion::Any, &["two", "three"])).expect("accepted");
    engine.append(note("a-1", &"·".repeat(LARGE_BYTES / 2))).expect("accepted");
    engine.append(note("a-1", "five").command(command(1, 1))).expect("accepted");
    let (before_last, start) = (engine.heads().synced.get() as usize, end_of(&disk, &segment(3)));
    engine.append(note("c-1", "six")).expect("accepted");
    let last_group = start..end_of(&disk, &segment(3));
    engine.claim_progress("relay").expect("claimed");
    engine.advance_progress("relay", 1, None, b"1").expect("advanced");
    let (facts, indexed) = (facts(&engine).expect("readable"), indexed(&engine).expect("readable"));
    if clean {
        engine.close().expect("closes");
    }
    Store { disk: copy_of(&disk), facts, indexed, before_last, last_group, clean }
}

/// Another disk with the same files, all durable.
fn copy_of(disk: &SimDisk) -> SimDisk {
    let copy = SimDisk::new();
    for name in disk.list().expect("listed") {
        copy.tamper(&name, &disk.contents(&name).expect("a file"));
    }
    copy
}

fn facts(engine: &Engine) -> Result<Vec<Fact>, ReadError> {
    let page = engine.read(&Selection::everything(), Position::ZERO, Direction::Forward, usize::MAX)?;
    assert!(page.end);
    Ok(page.events.iter().map(Fact::of).collect())
}

/// What only the index knows: streams, versions, a command, a selection.
fn indexed(engine: &Engine) -> Result<Vec<String>, ReadError> {
    let mut answers = Vec::new();
    for name in ["a-1", "b-1", "c-1", "nobody"] {
        let page = engine.read_stream(&stream(name), Version::MAX, Direction::Backward, 10)?;
        answers.push(format!("{:?} {:?}", page.events, engine.stream_version(&stream(name))?));
    }
    for id in [1, 2] {
        answers.push(format!("{:?}", engine.command([id; 16])?));
    }
    for name in ["note.taken", "nothing"] {
        let page = engine.read(&Clause::names([name]).into(), Position::ZERO, Direction::Forward, 10)?;
        answers.push(format!("{:?} {}", page.events, page.read_to));
    }
    Ok(answers)
}

/// A bit of a file.
#[derive(Debug, Clone)]
struct Bit {
    file: String,
    byte: usize,
    bit: u8,
}

impl Bit {
    fn flip(&self, disk: &SimDisk) {
        let mut bytes = disk.contents(&self.file).expect("a file");
        bytes[self.byte] ^= 1 << self.bit;
        disk.tamper(&self.file, &bytes);
    }

    /// Number of the segment it is in.
    fn segment(&self) -> Option<u32> {
        self.file.strip_prefix("segment-")?.strip_suffix(".log")?.parse().ok()
    }
}

/// The bits of all files; not all of them in a quick sweep.
fn bits(disk: &SimDisk, full: bool) -> Vec<Bit> {
    let mut bits = Vec::new();
    let mut names = disk.list().expect("listed");
    names.sort();
    for file in names {
        let content = disk.contents(&file).expect("a file");
        for (byte, value) in content.iter().enumerate() {
            let plain = *value == 0 || b"x\xc2\xb7".contains(value);
            let idle = *value == 0 && file.starts_with("progress-") && byte % QUICK_STRIDE != 0;
            if full && !idle {
                bits.extend((0..8).map(|bit| Bit { file: file.clone(), byte, bit }));
            } else if !plain || byte % QUICK_STRIDE == 0 {
                bits.push(Bit { file: file.clone(), byte, bit: (byte * 5 % 8) as u8 });
            }
        }
    }
    bits
}

/// Calls for each bit, on several threads; returns how many ended in each way.
fn sweep(bits: &[Bit], each: impl Fn(&Bit) -> &'static str + Sync) -> Vec<(&'static str, usize)> {
    let (next, each) = (AtomicUsize::new(0), &each);
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let next = &next;
                scope.spawn(move || {
                    let mut ended = Vec::new();
                    while let Some(bit) = bits.get(next.fetch_add(1, Ordering::Relaxed)) {
                        ended.push(each(bit));
                    }
                    ended
                })
            })
            .collect();
        for thread in threads {
            for ending in thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                match counts.iter_mut().find(|(known, _)| *known == ending) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((ending, 1)),
                }
            }
        }
    });
    counts.sort_unstable();
    counts
}

/// A bit flipped while the store is closed or its process dead; returns what opening made of it.
fn reopened(store: &Store, bit: &Bit) -> &'static str {
    let disk = copy_of(&store.disk);
    bit.flip(&disk);
    let engine = match open(&disk) {
        Ok(engine) => engine,
        Err(OpenError::Corrupt(damage)) => {
            assert_eq!(Some(damage.segment), bit.segment(), "{bit:?}: {damage}");
            let head = store.facts.len() as u64;
            assert!(damage.position.get() <= head.max(1) && damage.offset <= bit.byte as u64, "{bit:?}: {damage}");
            return "refused: the damage is named";
        }
        Err(OpenError::Identity { .. }) => {
            assert_eq!(bit.file, "identity", "{bit:?}");
            return "refused: the identity";
        }
        Err(OpenError::NewerFormat { .. }) => {
            assert!((8..12).contains(&(bit.byte % SLOT_BYTES)), "{bit:?}");
            return "refused: a newer format";
        }
        Err(error) => panic!("{bit:?}: {error:?}"),
    };
    // A sealed segment with an index file is not scanned when the store is opened: it is checked when it is read.
    let is_sealed = bit.segment().is_some_and(|number| number < 3);
    let found = match facts(&engine) {
        Ok(found) => found,
        Err(ReadError::Corrupt(damage)) if is_sealed => {
            assert_eq!(Some(damage.segment), bit.segment(), "{bit:?}: {damage}");
            return "a sealed segment: found by reading, the damage is named";
        }
        Err(error) => panic!("{bit:?}: opened and not readable: {error}"),
    };
    match engine.verify(&mut |_| {}) {
        Ok(_) => {}
        Err(VerifyError::Corrupt(damage)) if is_sealed => {
            assert_eq!(Some(damage.segment), bit.segment(), "{bit:?}: {damage}");
            assert_eq!(found, store.facts, "{bit:?}: served altered");
            return "a sealed segment: found by verifying, the damage is named";
        }
        Err(error) => panic!("{bit:?}: opened and not sound: {error}"),
    }
    let progress = progress_ending(&engine, bit);
    let active = bit.segment() == Some(3);
    let cut = engine.recovery().cut.as_ref();
    if found.len() == store.before_last {
        assert!(active && store.last_group.contains(&bit.byte) && !store.clean, "{bit:?}: events are gone");
        assert_eq!(found, store.facts[..store.before_last], "{bit:?}");
        let cut = cut.unwrap_or_else(|| panic!("{bit:?}: cut and not reported"));
        assert_eq!(cut.offset, store.last_group.start as u64);
        return "the last group: cut and reported";
    }
    assert_eq!(found, store.facts, "{bit:?}");
    let indexed = indexed(&engine).unwrap_or_else(|error| panic!("{bit:?}: opened and not readable: {error}"));
    assert_eq!(indexed, store.indexed, "{bit:?}");
    assert!(bit.file != "closed" || !engine.recovery().clean, "{bit:?}");
    if let Some(cut) = cut {
        assert!(active && bit.byte >= store.last_group.end, "{bit:?}: {cut:?}");
        return "zeros behind the log: cut and reported";
    }
    match bit.segment() {
        Some(_) if bit.byte < SEGMENT_HEADER_BYTES => "zeros behind a segment's header: of no account",
        Some(_) => {
            assert!(!active && bit.byte >= end_of(&store.disk, &bit.file), "{bit:?}: not noticed");
            "zeros behind a sealed segment: of no account"
        }
        None if bit.file == "closed" => "the marker of the close: taken for a crash",
        None => progress,
    }
}

/// What became of the progress record: a flip in one slot leaves the other.
fn progress_ending(engine: &Engine, bit: &Bit) -> &'static str {
    let progress = match engine.progress("relay") {
        Ok(progress) => progress,
        Err(ProgressError::NewerFormat { file, .. }) => {
            assert_eq!(bit.file, file, "{bit:?}");
            return "refused: a newer format";
        }
        Err(error) => panic!("{bit:?}: {error}"),
    };
    match (progress.epoch, progress.value.as_deref()) {
        (1, Some(b"1")) => "a derived file, or a copy that does not hold: of no account",
        (1, None) if bit.file.starts_with("progress-") => "progress: the value before it",
        other => panic!("{bit:?}: progress {other:?}"),
    }
}

/// A bit flipped under an open store; returns what reading and verifying made of it.
fn under_way(store: &Store, bit: &Bit) -> &'static str {
    let disk = copy_of(&store.disk);
    let engine = open(&disk).expect("opens");
    bit.flip(&disk);
    match facts(&engine).and_then(|facts| Ok((facts, indexed(&engine)?))) {
        Ok((found, answers)) => {
            assert_eq!(found, store.facts, "{bit:?}: served altered");
            assert_eq!(answers, store.indexed, "{bit:?}: served altered");
        }
        Err(ReadError::Corrupt(damage)) => assert_eq!(Some(damage.segment), bit.segment(), "{bit:?}: {damage}"),
        Err(error) => panic!("{bit:?}: {error:?}"),
    }
    let log = bit.segment().is_some_and(|number| {
        bit.byte < end_of(&store.disk, &segment(number as usize)) && bit.byte >= SEGMENT_HEADER_BYTES
    });
    match engine.verify(&mut |_| {}) {
        Err(VerifyError::Corrupt(damage)) => {
            assert_eq!(Some(damage.segment), bit.segment(), "{bit:?}: {damage}");
            "found by verifying"
        }
        Ok(_) => {
            assert!(!log, "{bit:?}: not found by verifying");
            "no part of the log"
        }
        Err(error) => panic!("{bit:?}: {error:?}"),
    }
}

fn flip(full: bool) {
    for clean in [false, true] {
        let store = store(clean);
        let bits = bits(&store.disk, full);
        let ended = sweep(&bits, |bit| reopened(&store, bit));
        println!("closed cleanly: {clean}; {} bits flipped, then opened: {ended:#?}", bits.len());
        assert!(ended.len() > 6, "{ended:?}");
    }
    let store = store(false);
    let log_or_index = |bit: &Bit| bit.segment().is_some() || bit.file.starts_with("index-");
    let bits: Vec<_> = bits(&store.disk, full).into_iter().filter(log_or_index).collect();
    let ended = sweep(&bits, |bit| under_way(&store, bit));
    println!("{} bits flipped under an open store: {ended:#?}", bits.len());
}

#[test]
fn a_flipped_bit_is_found_and_named_or_of_no_account_and_never_served() {
    flip(false);
}

#[test]
#[ignore = "minutes; cargo xtask engine-flip"]
fn long() {
    flip(true);
}
