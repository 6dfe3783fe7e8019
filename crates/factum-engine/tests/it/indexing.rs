//! The index: derived, so whatever becomes of its files, the answers are those of the log.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_engine::sim::{SimDisk, SimFault};
use factum_engine::{
    Append, AppendError, Boundary, Clause, CommandRecord, Direction, Disk, DiskFile, Drive, Engine, Entropy,
    ExpectedVersion, NewEvent, Options, Position, Selection, Tag, Version, restore_on,
};

use crate::support::{Chance, command, event, stream};

const BLOCK_BYTES: usize = 4_096;
const STREAMS: u64 = 30;
const NAMES: [&str; 3] = ["a", "b", "c"];
const SEEDS: [u64; 4] = [1, 2, 3, 5];

fn options() -> Options {
    let options = Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1));
    options.segment_bytes(8_192).index_cache_bytes(64 << 10)
}

fn open(disk: &SimDisk) -> Engine {
    Engine::open_on(Arc::new(disk.clone()), options()).expect("opens")
}

/// What was appended, by position from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    events: Vec<(String, NewEvent)>,
    commands: Vec<(u8, u64)>,
}

impl Told {
    fn version(&self, name: &str) -> u64 {
        self.events.iter().filter(|(stream, _)| stream == name).count() as u64
    }

    /// Takes in one random append, and makes it.
    fn append(&mut self, chance: &mut Chance, engine: &Engine) -> Result<(), AppendError> {
        let (append, next) = self.some_append(chance);
        let receipt = engine.append(append)?;
        assert_eq!(receipt.last.get(), next.events.len() as u64);
        *self = next;
        Ok(())
    }

    fn some_append(&self, chance: &mut Chance) -> (Append, Told) {
        let mut next = self.clone();
        let mut append = Append::new(7);
        let start = chance.below(STREAMS);
        for away in 0..1 + chance.below(2) {
            let name = format!("s-{}", (start + away) % STREAMS);
            let events: Vec<NewEvent> = (0..1 + chance.below(3)).map(|_| some_event(chance)).collect();
            let expected = ExpectedVersion::Exact(Version::new(self.version(&name)));
            next.events.extend(events.iter().map(|event| (name.clone(), event.clone())));
            append = append.stream(stream(&name), expected, events);
        }
        if chance.once_in(3) && next.commands.len() < 250 {
            let id = next.commands.len() as u8;
            next.commands.push((id, self.events.len() as u64 + 1));
            append = append.command(command(id, 1));
        }
        (append, next)
    }

    fn selected(&self, selection: &Selection) -> Vec<u64> {
        let events = self.events.iter().zip(1..);
        let matching =
            events.filter(|((_, event), _)| selection.matches(&event.name, event.tags.iter().map(|tag| tag.as_str())));
        matching.map(|(_, position)| position).collect()
    }

    /// Compares everything that the index is asked for.
    fn compare(&self, engine: &Engine, chance: &mut Chance, story: &str) {
        for value in 0..3 {
            let selection = Selection::of(Clause::tags([tag("k", value)]));
            assert_eq!(read(engine, &selection, 0, Direction::Forward, 100), self.selected(&selection), "{story}");
        }
        assert_eq!(engine.heads().written.get(), self.events.len() as u64, "{story}");
        for number in 0..=STREAMS {
            let name = format!("s-{number}");
            assert_eq!(engine.stream_version(&stream(&name)).expect("readable").get(), self.version(&name), "{story}");
            let events = self.events.iter().filter(|(stream, _)| *stream == name);
            let mut texts: Vec<&[u8]> = events.map(|(_, event)| event.data.as_slice()).collect();
            for direction in [Direction::Forward, Direction::Backward] {
                let from = if direction == Direction::Forward { Version::ZERO } else { Version::MAX };
                let page = engine.read_stream(&stream(&name), from, direction, 10_000).expect("readable");
                assert!(page.end, "{story}");
                assert_eq!(page.events.iter().map(|event| event.data()).collect::<Vec<_>>(), texts, "{story}: {name}");
                texts.reverse();
            }
        }
        for (id, first) in &self.commands {
            let known = engine.command([*id; 16]).expect("readable").expect("known");
            assert_eq!(known.receipt.first.get(), *first, "{story}");
        }
        assert_eq!(engine.command([255; 16]).expect("readable"), None, "{story}");
        for _ in 0..12 {
            let selection = some_selection(chance);
            let expected = self.selected(&selection);
            let after = chance.below(self.events.len() as u64 + 2);
            for direction in [Direction::Forward, Direction::Backward] {
                let limit = 5 + chance.below(40) as usize;
                let found = read(engine, &selection, after, direction, limit);
                let expected: Vec<u64> = match direction {
                    Direction::Forward => expected.iter().copied().filter(|position| *position > after).collect(),
                    Direction::Backward => expected.iter().rev().copied().filter(|at| *at < after).collect(),
                };
                assert_eq!(found, expected, "{story}: {selection:?} {direction:?} from {after}");
            }
            self.compare_boundary(engine, &selection, after, story);
        }
    }

    /// What a boundary would be refused with; it is given a version that never fits, so that nothing is appended.
    fn compare_boundary(&self, engine: &Engine, selection: &Selection, after: u64, story: &str) {
        let head = self.events.len() as u64;
        let crossing = self.selected(selection).into_iter().find(|position| *position > after);
        if crossing.is_none() && after <= head {
            return;
        }
        let append = Append::new(7).stream(stream("z-1"), ExpectedVersion::Any, vec![event("late")]);
        match engine.append(append.unless(Boundary::new(selection.clone(), Position::new(after)))) {
            Err(AppendError::BoundaryCrossed { clause, found, .. }) => {
                assert_eq!(Some(found.get()), crossing, "{story}: {selection:?} after {after}");
                let (_, event) = &self.events[found.get() as usize - 1];
                let first = selection.first_match(&event.name, event.tags.iter().map(|tag| tag.as_str()));
                assert_eq!(first, Some(clause), "{story}");
            }
            Err(AppendError::BoundaryBeyondHead { .. }) => assert!(after > head, "{story}"),
            other => panic!("{story}: {selection:?} after {after}: {other:?}"),
        }
    }
}

fn some_event(chance: &mut Chance) -> NewEvent {
    let mut tags = vec![tag("k", chance.below(3))];
    if chance.once_in(2) {
        tags.push(tag("rare", chance.below(40)));
    }
    if chance.once_in(8) {
        tags.push(tags[0].clone());
    }
    let text = format!("{}{}", chance.below(1_000_000), "x".repeat(chance.below(300) as usize));
    NewEvent { name: (*chance.choice(&NAMES)).into(), tags, ..event(&text) }
}

fn tag(key: &str, value: u64) -> Tag {
    Tag::new(format!("{key}:{value}")).expect("valid")
}

fn some_selection(chance: &mut Chance) -> Selection {
    let mut selection = Selection::of(some_clause(chance));
    while chance.once_in(2) {
        selection = selection.or(some_clause(chance));
    }
    selection
}

fn some_clause(chance: &mut Chance) -> Clause {
    let mut clause = Clause::everything();
    for _ in 0..chance.below(3) {
        clause = clause.name(*chance.choice(&NAMES));
    }
    match chance.below(4) {
        0 if !clause.is_everything() => clause,
        1 => clause.tag(tag("k", chance.below(3))).tag(tag("rare", chance.below(40))),
        2 => clause.tag(tag("k", chance.below(4))),
        _ => clause.tag(tag("rare", chance.below(42))),
    }
}

fn read(engine: &Engine, selection: &Selection, after: u64, direction: Direction, limit: usize) -> Vec<u64> {
    let (mut positions, mut after) = (Vec::new(), Position::new(after));
    loop {
        let page = engine.read(selection, after, direction, limit).expect("readable");
        assert!(page.events.len() <= limit);
        positions.extend(page.events.iter().map(|event| event.position().get()));
        if page.end {
            return positions;
        }
        assert_ne!(page.read_to, after, "a page goes on");
        after = page.read_to;
    }
}

/// A store of some dozen segments, killed.
fn store(seed: u64) -> (SimDisk, Told) {
    store_of(300, seed)
}

fn store_of(appends: usize, seed: u64) -> (SimDisk, Told) {
    store_beginning_with(tag("k", 0), appends, seed)
}

/// Stores that begin differently and are of the same size everywhere.
fn store_beginning_with(first: Tag, appends: usize, seed: u64) -> (SimDisk, Told) {
    let (disk, mut told, mut chance) = (SimDisk::new(), Told::default(), Chance::new(seed));
    let engine = open(&disk);
    let event = NewEvent { tags: vec![first], ..event("first") };
    told.events.push(("s-0".to_owned(), event.clone()));
    engine.append(Append::new(7).stream(stream("s-0"), ExpectedVersion::Any, vec![event])).expect("accepted");
    for _ in 0..appends {
        told.append(&mut chance, &engine).expect("accepted");
    }
    (disk.after_kill(), told)
}

fn index_files(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.list().expect("listed");
    names.retain(|name| name.ends_with(".run"));
    names.sort();
    names
}

fn segments(disk: &SimDisk) -> usize {
    disk.list().expect("listed").iter().filter(|name| name.ends_with(".log")).count()
}

#[test]
fn what_is_found_through_files_and_memory_is_what_was_appended() {
    for seed in SEEDS {
        let (disk, mut told, mut chance) = (SimDisk::new(), Told::default(), Chance::new(seed));
        let mut engine = open(&disk);
        for round in 0..10 {
            for _ in 0..40 {
                told.append(&mut chance, &engine).expect("accepted");
            }
            told.compare(&engine, &mut chance, &format!("seed {seed}, round {round}"));
            if round % 3 == 2 {
                drop(engine);
                engine = open(&disk);
                told.compare(&engine, &mut chance, &format!("seed {seed}, reopened after round {round}"));
            }
        }
        engine.verify(&mut |_| {}).expect("sound");
        let (files, status) = (index_files(&disk), engine.index_status());
        assert!(segments(&disk) > 20, "{} segments", segments(&disk));
        assert!(files.len() <= 9 && files.len() == status.files, "merged in tiers: {files:?}");
        assert!(status.unindexed_segments == 0 && status.cached_bytes <= 64 << 10 && status.rebuilt_files == 0);
    }
}

#[test]
fn a_store_opens_without_reading_the_segments_that_have_an_index_file() {
    let (disk, told) = store(1);
    let files = index_files(&disk);
    let engine = open(&disk);
    assert_eq!(index_files(&disk), files, "they were taken as they are");
    // Damage that a scan would find, and does once the files are gone.
    drop(engine);
    let mut bytes = disk.contents("segment-00000003.log").expect("a segment");
    bytes[BLOCK_BYTES + 70] ^= 1;
    disk.tamper("segment-00000003.log", &bytes);
    drop(open(&disk));
    for name in files {
        disk.remove(&name).expect("removed");
    }
    assert!(Engine::open_on(Arc::new(disk), options()).is_err(), "{} events", told.events.len());
}

#[test]
fn absent_cut_off_stale_and_foreign_files_are_made_anew_and_answers_stay_the_same() {
    for seed in [1, 2] {
        let (disk, told) = store_of(60, seed);
        let (other, _) = store_beginning_with(tag("k", 2), 60, seed);
        let names = index_files(&disk);
        for (what, spoil) in [("absent", 0), ("cut off", 1), ("of another history", 2), ("empty", 3), ("newer", 4)] {
            for only in 0..=names.len() {
                let disk = disk.after_kill();
                // Each by itself, and then all of them.
                for name in
                    names.iter().enumerate().filter(|(at, _)| *at == only || only == names.len()).map(|one| one.1)
                {
                    let mut bytes = disk.contents(name).expect("a file");
                    match spoil {
                        0 => disk.remove(name).expect("removed"),
                        1 => disk.tamper(name, &bytes[..bytes.len() - 1]),
                        2 => disk.tamper(name, &other.contents(name).unwrap_or_default()),
                        3 => disk.tamper(name, &[]),
                        _ => {
                            bytes[8] += 1;
                            disk.tamper(name, &bytes);
                        }
                    }
                }
                let engine = open(&disk);
                let story = format!("seed {seed}: {what}, {only} of {names:?}");
                told.compare(&engine, &mut Chance::new(seed), &story);
                engine
                    .append(Append::new(7).stream(stream("z-1"), ExpectedVersion::Any, vec![event("on")]))
                    .expect(&story);
                assert!(index_files(&disk).len() <= names.len() + 1, "{story}: {:?}", index_files(&disk));
            }
        }
    }
}

#[test]
fn a_block_damaged_under_an_open_store_is_noticed_and_its_file_made_anew() {
    let (disk, told) = store_of(30, 2);
    let mut rebuilt = 0;
    for name in index_files(&disk) {
        let blocks = disk.contents(&name).expect("a file").len() / BLOCK_BYTES;
        for block in 0..blocks {
            let disk = disk.after_kill();
            let engine = open(&disk);
            let mut bytes = disk.contents(&name).expect("a file");
            bytes[block * BLOCK_BYTES + 16 + block % 100] ^= 4;
            disk.tamper(&name, &bytes);
            told.compare(&engine, &mut Chance::new(2), &format!("{name}, block {block}"));
            rebuilt += engine.index_status().rebuilt_files;
            drop(engine);
            let engine = open(&disk);
            assert_eq!(engine.heads().written.get(), told.events.len() as u64, "{name}, block {block}, opened again");
        }
    }
    assert!(rebuilt > 5, "{rebuilt} files were made anew");
}

#[test]
fn verifying_finds_an_index_file_that_says_something_else_than_the_log_and_makes_it_anew() {
    let (disk, told) = store_of(60, 3);
    let name = &index_files(&disk)[0];
    let mut bytes = disk.contents(name).expect("a file");
    let block = bytes.chunks_mut(BLOCK_BYTES).skip(1).find(|block| block[8] == 3).expect("a block of entries");
    // The last position of the last entry, with a sound checksum: such a file was never written.
    let before = crc32c::crc32c(&block[4..]);
    let used = u32::from_le_bytes(block[12..16].try_into().expect("four bytes")) as usize;
    block[used - 1] ^= 1;
    let changed = (before ^ crc32c::crc32c(&block[4..])).to_le_bytes();
    block[..4].iter_mut().zip(changed).for_each(|(byte, changed)| *byte ^= changed);
    disk.tamper(name, &bytes);
    let engine = open(&disk);
    let report = engine.verify(&mut |_| {}).expect("a sound log");
    assert_eq!(report.rebuilt_index_files, 1);
    let again = engine.verify(&mut |_| {}).expect("a sound log");
    assert_eq!((again.rebuilt_index_files, again.index_files), (0, engine.index_status().files));
    told.compare(&engine, &mut Chance::new(1), "made anew");
}

/// A segment may be sealed before anything was written to it: here a restore began it, and the first append was too large.
#[test]
fn a_file_over_a_segment_without_events_is_made_anew_too() {
    let (copy, mut told) = store_of(10, 3);
    let disk = SimDisk::new();
    restore_on(&copy, &disk, &options().entropy(Entropy::Seeded(4))).expect("restored");
    let engine = open(&disk);
    let large = NewEvent { data: vec![1; 10_000], ..event("large") };
    for number in 0..12 {
        let data = if number == 0 { large.clone() } else { NewEvent { data: vec![2; 3_000], ..event("small") } };
        told.events.push(("s-0".to_owned(), data.clone()));
        engine.append(Append::new(1).stream(stream("s-0"), ExpectedVersion::Any, vec![data])).expect("accepted");
    }
    let empty = |number: &usize| {
        let log = disk.contents(&format!("segment-{number:08}.log")).expect("a log");
        log[4_096..].iter().all(|byte| *byte == 0)
    };
    assert!((1..segments(&disk)).any(|number| empty(&number)), "one was sealed without events");
    engine.close().expect("closes");
    for name in index_files(&disk) {
        let disk = disk.after_kill();
        let engine = open(&disk);
        let mut bytes = disk.contents(&name).expect("a file");
        bytes.iter_mut().skip(BLOCK_BYTES + 20).step_by(BLOCK_BYTES).for_each(|byte| *byte ^= 4);
        disk.tamper(&name, &bytes);
        told.compare(&engine, &mut Chance::new(3), &name);
        assert!(engine.index_status().rebuilt_files > 0, "{name}");
    }
}

#[test]
fn the_power_fails_at_every_operation_of_sealing_and_merging_and_nothing_is_lost_or_made_up() {
    let work = |disk: &SimDisk, told: &mut Told| -> Result<(), AppendError> {
        let Ok(engine) = Engine::open_on(Arc::new(disk.clone()), options()) else {
            return Ok(());
        };
        let mut chance = Chance::new(9);
        for _ in 0..40 {
            told.append(&mut chance, &engine)?;
        }
        Ok(())
    };
    let disk = SimDisk::new();
    work(&disk, &mut Told::default()).expect("no fault was planned");
    let history = disk.history();
    assert!(index_files(&disk).iter().any(|name| name == "index-00000001-00000004.run"), "{:?}", index_files(&disk));
    let touching = (1..).zip(&history).filter(|(_, what)| what.contains("index-") || what.contains("directory"));
    let operations: Vec<u64> = touching.map(|(number, _)| number).collect();
    assert!(operations.len() > 30, "{history:?}");
    for operation in operations {
        for survives in [0, 2] {
            let (disk, mut told) = (SimDisk::new(), Told::default());
            disk.fail_at(operation, SimFault::PowerLoss);
            let _dark = work(&disk, &mut told);
            let disk = disk.after_power_loss(survives);
            let engine = open(&disk);
            let story = format!("{}, seed {survives}", history[operation as usize - 1]);
            let found = engine.heads().written.get() as usize;
            assert!(found >= told.events.len(), "{story}");
            if found == told.events.len() {
                told.compare(&engine, &mut Chance::new(operation), &story);
            }
            engine.verify(&mut |_| {}).expect(&story);
            assert!(disk.list().expect("listed").iter().all(|name| !name.ends_with(".new")), "{story}");
        }
    }
}

#[test]
fn an_error_in_writing_an_index_file_harms_nobody_and_is_tried_again() {
    let work = |disk: &SimDisk, seed| {
        let (mut told, mut chance) = (Told::default(), Chance::new(seed));
        let engine = open(disk);
        for _ in 0..40 {
            told.append(&mut chance, &engine).expect("accepted");
        }
        (engine, told)
    };
    let disk = SimDisk::new();
    work(&disk, 4);
    let history = disk.history();
    let operations = (1..).zip(&history).filter(|(_, what)| what.contains("index-"));
    for (operation, what) in operations {
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::Other];
        for kind in &kinds[operation as usize % 2..][..1] {
            let disk = SimDisk::new();
            disk.fail_at(operation, SimFault::Error(*kind));
            let (engine, mut told) = work(&disk, 4);
            told.append(&mut Chance::new(1), &engine).expect("accepted");
            assert_eq!(engine.index_status().unindexed_segments, 0, "{what}");
            assert!(engine.index_status().failure.is_none(), "{what}");
            told.compare(&engine, &mut Chance::new(1), what);
        }
    }
}

/// A disk on which no index file can be made as long as it is told so.
struct NoIndex {
    disk: SimDisk,
    refuses: Arc<AtomicBool>,
}

impl Disk for NoIndex {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        if name.starts_with("index-") && self.refuses.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
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
fn without_room_for_index_files_memory_stays_bounded_and_appends_wait_for_it() {
    for drive in [Drive::Manual, Drive::Threads] {
        let (disk, refuses) = (SimDisk::new(), Arc::new(AtomicBool::new(true)));
        let wrapped = NoIndex { disk: disk.clone(), refuses: refuses.clone() };
        let engine = Engine::open_on(Arc::new(wrapped), options().drive(drive)).expect("opens");
        let (mut told, mut chance) = (Told::default(), Chance::new(7));
        let refused = loop {
            if let Err(refused) = told.append(&mut chance, &engine) {
                break refused;
            }
            assert!(told.events.len() < 1_000, "never refused");
        };
        assert!(matches!(refused, AppendError::DiskFull), "{refused:?}");
        let status = engine.index_status();
        assert_eq!((status.files, status.unindexed_segments), (0, 4));
        assert!(status.failure.is_some());
        told.compare(&engine, &mut Chance::new(1), "refused");
        refuses.store(false, Ordering::Relaxed);
        for _ in 0..20 {
            told.append(&mut chance, &engine).expect("there is room again");
        }
        told.compare(&engine, &mut Chance::new(1), "accepted again");
        drop(engine);
        told.compare(&open(&disk), &mut Chance::new(1), "opened again");
    }
}

#[test]
fn appends_and_reads_go_on_while_files_are_written_and_merged() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::default().segment_bytes(8_192).index_cache_bytes(64 << 10);
    let engine = Engine::open(directory.path(), options.clone()).expect("opens");
    let done = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        for reader in 0..2 {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                let mut chance = Chance::new(reader);
                while !done.load(Ordering::Relaxed) {
                    let selection = some_selection(&mut chance);
                    let forward = read(engine, &selection, 0, Direction::Forward, 50);
                    let mut backward = read(engine, &selection, u64::MAX, Direction::Backward, 50);
                    backward.reverse();
                    assert!(backward.starts_with(&forward), "{selection:?}: events came or went before others");
                }
            });
        }
        let (mut told, mut chance) = (Told::default(), Chance::new(5));
        for _ in 0..400 {
            told.append(&mut chance, &engine).expect("accepted");
        }
        done.store(true, Ordering::Relaxed);
        told
    });
    told.compare(&engine, &mut Chance::new(1), "afterwards");
    drop(engine);
    let engine = Engine::open(directory.path(), options).expect("opens");
    told.compare(&engine, &mut Chance::new(1), "opened again");
}

#[test]
fn a_read_that_matches_nothing_for_long_goes_on_page_by_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(directory.path(), Options::default()).expect("opens");
    let tagged = |tags: &[u64]| NewEvent { tags: tags.iter().map(|value| tag("t", *value)).collect(), ..event("x") };
    for batch in 0..40_u64 {
        let events = (0..1_000).map(|number| tagged(&[(batch * 1_000 + number) % 4])).collect();
        engine.append(Append::new(7).stream(stream("s-1"), ExpectedVersion::Any, events)).expect("accepted");
    }
    let last = Append::new(7).stream(stream("s-1"), ExpectedVersion::Any, vec![tagged(&[2, 3])]);
    engine.append(last).expect("accepted");
    // Tags that take turns and never meet but once: each clause has to be followed through all of them.
    let both = |one, other| Clause::tags([tag("t", one), tag("t", other)]);
    let selection = Selection::of(both(0, 1)).or(both(2, 3)).or(both(1, 3));
    for (direction, after) in [(Direction::Forward, 0), (Direction::Backward, u64::MAX)] {
        assert_eq!(read(&engine, &selection, after, direction, 10), [40_001], "{direction:?}");
    }
    let behind = Boundary::nothing_like(selection);
    let refused =
        engine.append(Append::new(7).stream(stream("s-1"), ExpectedVersion::Any, vec![event("y")]).unless(behind));
    assert!(
        matches!(&refused, Err(AppendError::BoundaryCrossed { clause: 1, found, .. }) if found.get() == 40_001),
        "{refused:?}"
    );
}

#[test]
fn conditions_hold_while_segments_go_from_memory_into_files_under_the_writers_hands() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::default().segment_bytes(8_192).index_cache_bytes(64 << 10);
    let engine = Engine::open(directory.path(), options).expect("opens");
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let engine = &engine;
            scope.spawn(move || {
                for number in 0..120_u64 {
                    // Each stream rests long enough to be in a file when it goes on, or on its way there.
                    let name = format!("w-{writer}-{}", number % 20);
                    let expected = ExpectedVersion::Exact(Version::new(number / 20));
                    let mine = tag("w", u64::from(writer) * 1_000 + number);
                    let event = NewEvent { tags: vec![mine.clone()], ..event(&"x".repeat(700)) };
                    let id = [writer, number as u8].repeat(8).try_into().expect("16 bytes");
                    let append = Append::new(7)
                        .stream(stream(&name), expected, vec![event])
                        .command(CommandRecord { id, fingerprint: [1; 16] })
                        .unless(Boundary::nothing_like(Clause::tags([mine])));
                    let first = engine.append(append.clone()).expect("nobody else appends there");
                    let again = engine.append(append.clone()).expect("a repeat");
                    assert!(again.repeated && again.first == first.first, "{name}, {number}");
                    let mut unnamed = append;
                    unnamed.command = None;
                    assert!(matches!(engine.append(unnamed), Err(AppendError::Conflict { .. })));
                }
            });
        }
    });
    assert_eq!(engine.heads().written, Position::new(480));
    engine.verify(&mut |_| {}).expect("sound");
}
