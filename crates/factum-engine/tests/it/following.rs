//! A store read by another process than the one that writes it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use factum_engine::sim::{SimDisk, SimFault};
use factum_engine::{
    Append, Clause, Direction, Drive, Durability, Engine, Entropy, ExpectedVersion, FollowError, Follower,
    FollowerOptions, Options, Position, Selection, Version,
};

use crate::support::{event, expecting, note, open, stream, text, wait};

const SEEDS: [u64; 6] = [0, 1, 3, 8, 21, 55];
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn options(durability: Durability) -> Options {
    let options = Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192);
    options.durability(durability)
}

fn interval() -> Durability {
    Durability::Interval(Duration::from_millis(50))
}

fn start(disk: &SimDisk, durability: Durability) -> Engine {
    Engine::open_on(Arc::new(disk.clone()), options(durability)).expect("opens")
}

fn by_hand() -> FollowerOptions {
    FollowerOptions::default().drive(Drive::Manual)
}

fn follow(disk: &SimDisk) -> Follower {
    Follower::open_on(Arc::new(disk.clone()), by_hand()).expect("a store to follow")
}

/// Everything a follower sees, in pages of four.
fn seen(follower: &Follower) -> Vec<String> {
    let (mut texts, mut after) = (Vec::new(), Position::ZERO);
    loop {
        let page = follower.read(&Selection::everything(), after, Direction::Forward, 4).expect("readable");
        texts.extend(page.events.iter().map(text));
        after = page.read_to;
        if page.end {
            assert_eq!(after, follower.synced());
            return texts;
        }
    }
}

#[test]
fn a_follower_sees_what_is_synced_as_the_writer_shows_it_and_no_more() {
    let disk = SimDisk::new();
    let engine = start(&disk, interval());
    engine.append(note("a-1", "one")).expect("accepted");
    engine.sync().expect("synced");
    let follower = follow(&disk);
    assert_eq!(follower.identity(), engine.identity());
    assert_eq!(seen(&follower), ["one"]);
    engine.append(expecting("b-1", ExpectedVersion::NoStream, &["two", "three"])).expect("accepted");
    assert_eq!(follower.refresh().expect("readable"), Position::new(1), "written and not synced");
    engine.sync().expect("synced");
    assert_eq!(follower.refresh().expect("readable"), Position::new(3));
    assert_eq!(seen(&follower), ["one", "two", "three"]);

    let page = follower.read_stream(&stream("b-1"), Version::ZERO, Direction::Backward, 9).expect("readable");
    assert!(page.events.is_empty());
    let page = follower.read_stream(&stream("b-1"), Version::MAX, Direction::Backward, 9).expect("readable");
    assert_eq!(page.events.iter().map(text).collect::<Vec<_>>(), ["three", "two"]);
    let notes = Selection::of(Clause::names(["note.taken"]));
    assert_eq!(follower.read(&notes, Position::new(1), Direction::Forward, 9).expect("readable").events.len(), 2);
    let none = Selection::of(Clause::names(["note.burnt"]));
    assert!(follower.read(&none, Position::ZERO, Direction::Forward, 9).expect("readable").events.is_empty());
    let other = Follower::open_on(Arc::new(disk), by_hand()).expect("a second one");
    assert_eq!(seen(&other), seen(&follower));
}

#[test]
fn a_follower_changes_nothing() {
    let disk = SimDisk::new();
    let engine = start(&disk, Durability::Synced);
    engine.append(note("a-1", "one")).expect("accepted");
    drop(engine);
    let before = disk.history();
    let follower = follow(&disk);
    follower.refresh().expect("readable");
    assert_eq!(seen(&follower), ["one"]);
    drop(follower);
    assert_eq!(disk.history(), before);
    // The lock is free as well.
    start(&disk, Durability::Synced);

    // On files that only can be read.
    let directory = tempfile::tempdir().expect("a directory");
    open(directory.path()).append(note("a-1", "one")).expect("accepted");
    let names = |path: &Path| fs::read_dir(path).expect("readable").count();
    let count = names(directory.path());
    let follower = Follower::open(directory.path(), by_hand()).expect("a store to follow");
    assert_eq!(seen(&follower), ["one"]);
    assert_eq!(names(directory.path()), count);
}

#[test]
fn news_come_by_themselves_within_a_poll() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let follower = Follower::open(directory.path(), FollowerOptions::default()).expect("a store to follow");
    assert_eq!(follower.wait_beyond(Position::ZERO, Duration::from_millis(20)).expect("no trouble"), None);
    let beyond = follower.beyond(Position::new(1));
    engine.append(expecting("a-1", ExpectedVersion::NoStream, &["one", "two"])).expect("accepted");
    assert_eq!(wait(beyond).expect("seen"), Position::new(2));
    assert_eq!(follower.wait_beyond(Position::ZERO, PATIENCE).expect("seen"), Some(Position::new(2)));
    // Its writer ends and comes back.
    drop(engine);
    assert_eq!(seen(&follower), ["one", "two"]);
    let engine = open(directory.path());
    engine.append(note("a-1", "three")).expect("accepted");
    assert_eq!(follower.wait_beyond(Position::new(2), PATIENCE).expect("seen"), Some(Position::new(3)));
    let beyond = follower.beyond(Position::MAX);
    follower.close();
    assert!(matches!(wait(beyond), Err(FollowError::Closed)));
    assert!(matches!(follower.refresh(), Err(FollowError::Closed)));
}

#[test]
fn segments_and_groups_of_any_size_are_followed() {
    let disk = SimDisk::new();
    let engine = start(&disk, Durability::Synced);
    let (early, late) = (follow(&disk), |expected: &[String]| assert_eq!(seen(&follow(&disk)), expected));
    let mut expected = Vec::new();
    // A group longer than what is taken in at a time, among short ones; most begin a segment.
    for (number, length) in [10, 9_000, 20, 1_000_000, 700_000, 5, 900_000, 8_000, 1].into_iter().enumerate() {
        let texts = [format!("{number} {}", "x".repeat(length)), format!("{number} {}", "y".repeat(length / 2))];
        let appends: Vec<_> = texts.iter().map(|text| engine.submit(note("a-1", text))).collect();
        engine.step();
        assert!(appends.into_iter().all(|append| wait(append).is_ok()));
        expected.extend(texts);
        early.refresh().expect("readable");
        assert_eq!(seen(&early).len(), expected.len());
    }
    assert_eq!(seen(&early), expected);
    late(&expected);
}

#[test]
fn a_store_that_is_not_there_or_not_ready_is_told_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    let refused = || Follower::open(&path, by_hand()).expect_err("not to be followed");
    assert!(matches!(refused(), FollowError::NotFound));
    assert!(!path.exists(), "nothing was made");
    fs::create_dir(&path).expect("made");
    assert!(matches!(refused(), FollowError::NotFound));
    open(&path).append(note("a-1", "one")).expect("accepted");
    let head = fs::read(path.join("head")).expect("readable");
    for slot in [0..512, 512..1024] {
        // One that is being written is no news yet; the other says what was before.
        let mut torn = head.clone();
        torn[slot].fill(7);
        fs::write(path.join("head"), torn).expect("writable");
        assert!(Follower::open(&path, by_hand()).expect("a store to follow").synced() <= Position::new(1));
    }
    fs::write(path.join("head"), head).expect("writable");

    let spoiled = |file: &str, spoil: &dyn Fn(&mut Vec<u8>)| {
        let path = path.join(file);
        let before = fs::read(&path).expect("readable");
        let mut bytes = before.clone();
        spoil(&mut bytes);
        fs::write(&path, bytes).expect("writable");
        let refused = refused();
        fs::write(&path, before).expect("writable");
        refused
    };
    assert!(matches!(spoiled("head", &|bytes| bytes.fill(0)), FollowError::NoHead));
    assert!(matches!(spoiled("head", &Vec::clear), FollowError::NoHead));
    assert!(matches!(spoiled("head", &|bytes| bytes[8] = 9), FollowError::NewerFormat { found: 9, .. }));
    assert!(matches!(spoiled("identity", &|bytes| bytes[8] = 9), FollowError::NewerFormat { found: 9, .. }));
    assert!(matches!(spoiled("identity", &|bytes| bytes[30] ^= 1), FollowError::Identity { .. }));
    let segment = "segment-00000001.log";
    assert!(matches!(spoiled(segment, &|bytes| bytes[8] = 9), FollowError::NewerFormat { found: 9, .. }));
    match spoiled(segment, &|bytes| bytes[4096 + 200] ^= 1) {
        FollowError::Corrupt(damage) => assert_eq!((damage.segment, damage.position), (1, Position::new(1))),
        other => panic!("{other}"),
    }
    fs::remove_file(path.join("head")).expect("removed");
    assert!(matches!(refused(), FollowError::NoHead));
    // Whoever writes to it opens it, and it is there again.
    drop(open(&path));
    assert_eq!(seen(&Follower::open(&path, by_hand()).expect("a store to follow")), ["one"]);
    let wrong = by_hand().poll(Duration::ZERO);
    assert!(matches!(Follower::open(&path, wrong), Err(FollowError::Options(_))));
}

#[test]
fn another_store_in_its_place_and_files_put_back_are_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let [path, copy, away] = ["store", "copy", "away"].map(|name| directory.path().join(name));
    let engine = open(&path);
    engine.append(note("a-1", "one")).expect("accepted");
    drop(engine);
    copy_directory(&path, &copy);
    let engine = open(&path);
    engine.append(note("a-1", "two")).expect("accepted");
    drop(engine);
    let follower = Follower::open(&path, FollowerOptions::default()).expect("a store to follow");
    let waits = follower.beyond(Position::new(2));
    fs::rename(&path, &away).expect("put away");
    fs::rename(&copy, &path).expect("put back");
    match wait(waits) {
        Err(FollowError::WentBack { seen, found }) => assert_eq!((seen.get(), found.get()), (2, 1)),
        other => panic!("{other:?}"),
    }
    let page = follower.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1);
    assert!(matches!(page, Err(FollowError::WentBack { .. })), "it tells so to everybody");

    // Longer than what was seen, but in other files: nothing says that they go on where the others ended.
    let follower = Follower::open(&path, by_hand()).expect("a store to follow");
    assert_eq!(seen(&follower), ["one"]);
    fs::rename(&path, &copy).expect("put away");
    fs::rename(&away, &path).expect("put back");
    let refused = follower.refresh();
    assert!(matches!(refused, Err(FollowError::Corrupt(_))), "{refused:?}");
    assert_eq!(seen(&Follower::open(&path, by_hand()).expect("opened anew")), ["one", "two"]);

    // As long as what was seen: the copied folder went its own way.
    let follower = Follower::open(&path, by_hand()).expect("a store to follow");
    let other = open(&copy);
    other.append(note("a-1", "elsewhere")).expect("accepted");
    drop(other);
    fs::rename(&path, &away).expect("put away");
    fs::rename(&copy, &path).expect("put in its place");
    let refused = follower.refresh();
    assert!(matches!(refused, Err(FollowError::Corrupt(_))), "{refused:?}");

    let follower = Follower::open(&path, by_hand()).expect("a store to follow");
    fs::remove_dir_all(&path).expect("removed");
    assert_eq!(follower.refresh().expect("no news"), Position::new(2));
    let stranger = open(&path);
    match follower.refresh() {
        Err(FollowError::Replaced { incarnation }) => assert_eq!(incarnation, stranger.identity().incarnation),
        other => panic!("{other:?}"),
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn what_a_follower_saw_is_there_after_every_crash() {
    fn work(disk: &SimDisk, durability: Durability, saw: &mut Vec<String>) -> Result<(), FollowError> {
        let dark = || FollowError::Closed;
        for life in 0..3 {
            let engine = Engine::open_on(Arc::new(disk.clone()), options(durability)).map_err(|_| dark())?;
            let follower = Follower::open_on(Arc::new(disk.clone()), by_hand())?;
            for number in 0..5 {
                let words = format!("{life} {number} ").repeat(1 + (number * 97 + life * 31) % 300);
                engine.append(note("a-1", &words)).map_err(|_| dark())?;
                if number % 3 == 2 {
                    engine.sync().map_err(|_| dark())?;
                }
                let head = follower.refresh()?;
                let page = follower.read(&Selection::everything(), Position::ZERO, Direction::Forward, 100)?;
                assert_eq!(page.events.len() as u64, head.get());
                let texts: Vec<String> = page.events.iter().map(text).collect();
                assert_eq!(texts[..saw.len()], *saw, "what was seen stays");
                *saw = texts;
            }
        }
        Ok(())
    }
    for durability in [Durability::Synced, interval()] {
        let disk = SimDisk::new();
        work(&disk, durability, &mut Vec::new()).expect("no trouble");
        for operation in 1..=disk.operations() {
            for seed in SEEDS {
                let disk = SimDisk::new();
                disk.fail_at(operation, SimFault::PowerLoss);
                let mut saw = Vec::new();
                let _ended = work(&disk, durability, &mut saw);
                let story = format!("{durability:?}, power lost at operation {operation}, seed {seed}");
                let killed = disk.after_kill();
                for after in [disk.after_power_loss(seed), killed] {
                    let before = Follower::open_on(Arc::new(after.clone()), by_hand());
                    let engine = start(&after, durability);
                    let follower = follow(&after);
                    let found = seen(&follower);
                    assert_eq!(found[..saw.len().min(found.len())], saw, "{story}");
                    assert_eq!(found.len() as u64, engine.heads().written.get(), "{story}");
                    // One that was there before the writer came back saw no more, and goes on.
                    if let Ok(before) = before {
                        assert!(before.synced() <= follower.synced(), "{story}");
                        let head = before.refresh();
                        assert_eq!(head.expect(&story), follower.synced(), "{story}");
                        assert_eq!(seen(&before), found, "{story}");
                    }
                }
            }
        }
    }
}

/// Everything a follower answers is what the writer answers.
fn answers_like(follower: &Follower, engine: &Engine, story: &str) {
    let everything = |number: u64| {
        let selection = Selection::everything();
        let theirs = follower.read(&selection, Position::new(number), Direction::Backward, 7).expect(story);
        let ours = engine.read(&selection, Position::new(number), Direction::Backward, 7).expect(story);
        assert_eq!(
            theirs.events.iter().map(text).collect::<Vec<_>>(),
            ours.events.iter().map(text).collect::<Vec<_>>()
        );
    };
    let head = engine.heads().synced.get();
    (0..=head + 1).step_by(5).for_each(everything);
    for number in 0..STREAMS {
        let name = stream(&format!("s-{number}"));
        for direction in [Direction::Forward, Direction::Backward] {
            let from = if direction == Direction::Forward { Version::ZERO } else { Version::MAX };
            let theirs = follower.read_stream(&name, from, direction, 1_000).expect(story);
            let ours = engine.read_stream(&name, from, direction, 1_000).expect(story);
            let place = |event: &factum_engine::StoredEvent| (event.position(), event.version(), text(event));
            let theirs: Vec<_> = theirs.events.iter().map(place).collect();
            assert_eq!(theirs, ours.events.iter().map(place).collect::<Vec<_>>(), "{story}: {name}");
        }
    }
}

const STREAMS: u64 = 3;

/// A writer that fills many small segments, and gives them index files; what to do after each append.
fn fill_segments(disk: &SimDisk, mut after: impl FnMut(&Engine)) -> Engine {
    let engine = start(disk, Durability::Synced);
    for number in 0..160 {
        let words = format!("{number} ").repeat(1 + (number * 37 % 300) as usize);
        engine.append(note(&format!("s-{}", number % STREAMS), &words)).expect("accepted");
        engine.step();
        after(&engine);
    }
    assert!(engine.index_status().files > 2 && engine.verify(&mut |_| {}).expect("sound").segments > 20);
    engine
}

#[test]
fn the_writers_index_files_are_taken_so_that_memory_is_bounded_and_none_is_ever_made() {
    let disk = SimDisk::new();
    drop(start(&disk, Durability::Synced));
    let early = follow(&disk);
    let mut most = 0;
    let engine = fill_segments(&disk, |_| {
        let before = disk.operations();
        early.refresh().expect("followed");
        assert_eq!(disk.operations(), before, "a follower writes nothing");
        most = most.max(early.index_status().unindexed_segments);
    });
    assert!(most <= 2, "{most} segments with their index in memory");
    assert!(early.index_status().files > 2);
    answers_like(&early, &engine, "all the time");
    // Opened late it reads the files and not the log.
    let late = follow(&disk);
    assert_eq!(late.index_status().unindexed_segments, 0);
    assert_eq!(late.index_status().files, engine.index_status().files);
    answers_like(&late, &engine, "late");

    // Damaged behind its back, whole or in part, or gone: the log has it all. What was read is in memory still.
    let unread = follow(&disk);
    let names = factum_engine::Disk::list(&disk).expect("readable");
    let indexes: Vec<String> = names.into_iter().filter(|name| name.starts_with("index-")).collect();
    for (number, name) in indexes.iter().enumerate() {
        let mut bytes = disk.contents(name).expect("there");
        // All of it, or blocks behind its head, so that it opens.
        let spoiled = if number % 2 == 0 { 4_096..3 * 4_096 } else { 0..bytes.len() };
        bytes[spoiled].fill(0xA5);
        disk.tamper(name, &bytes);
    }
    let before = disk.operations();
    answers_like(&follow(&disk), &start_elsewhere(&disk), "damaged");
    answers_like(&unread, &start_elsewhere(&disk), "damaged while it is followed");
    assert!(unread.index_status().rebuilt_files > 0, "it was noticed");
    assert_eq!(disk.operations(), before, "a follower mends nothing");
    indexes.iter().for_each(|name| factum_engine::Disk::remove(&disk, name).expect("removed"));
    answers_like(&follow(&disk), &start_elsewhere(&disk), "gone");
}

/// A restored store begins with a segment without events: what is before it is sealed, and the last taken in as well.
#[test]
fn a_restored_store_is_followed_before_and_after_its_writer_makes_index_files() {
    let copy = SimDisk::new();
    drop(fill_segments(&copy, |_| {}));
    let disk = SimDisk::new();
    factum_engine::restore_on(&copy, &disk, &options(Durability::Synced)).expect("restored");
    let follower = follow(&disk);
    assert_eq!(follower.index_status().files, 0);
    let engine = start(&disk, Durability::Synced);
    for _ in 0..40 {
        engine.step();
    }
    for number in 0..12 {
        follower.refresh().expect("followed");
        answers_like(&follower, &engine, &format!("{number} appends after the restore"));
        engine.append(note("s-1", &format!("{number} ").repeat(600))).expect("accepted");
        engine.step();
    }
    assert!(follower.index_status().files > 0);
}

/// The same store as it would be opened from a copy of the disk, for comparison.
fn start_elsewhere(disk: &SimDisk) -> Engine {
    let copy = SimDisk::new();
    for name in factum_engine::Disk::list(disk).expect("readable") {
        if name != "lock" {
            copy.tamper(&name, &disk.contents(&name).expect("there"));
        }
    }
    start(&copy, Durability::Synced)
}

const DIRECTORY: &str = "FACTUM_FOLLOWED_DIRECTORY";
const DURABILITY: &str = "FACTUM_FOLLOWED_DURABILITY";

/// Appends events that say where they stand, until it is killed.
#[test]
#[ignore = "started by the test behind it, to be followed and killed"]
fn the_process_that_writes() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let durability = match std::env::var(DURABILITY).expect("told").as_str() {
        "synced" => Durability::Synced,
        _ => Durability::Interval(Duration::from_millis(1)),
    };
    let options = Options::default().segment_bytes(64 << 10).durability(durability);
    let engine = Engine::open(Path::new(&directory), options).expect("opens");
    for next in engine.heads().written.get() + 1.. {
        let text = format!("{next} {}", "x".repeat((next % 400) as usize));
        let append =
            Append::new(0).stream(stream("a-1"), ExpectedVersion::Exact(Version::new(next - 1)), vec![event(&text)]);
        engine.append(append).expect("nothing fails but the process");
    }
}

fn writing(directory: &Path, durability: &str) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["following::the_process_that_writes", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(DURABILITY, durability)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the process starts")
}

/// Reads on until the position is reached; each event says where it stands.
fn read_on(follower: &Follower, from: &mut Position, to: u64) {
    let deadline = Instant::now() + PATIENCE;
    while from.get() < to {
        assert!(Instant::now() < deadline, "stuck at {from}");
        follower.wait_beyond(*from, Duration::from_secs(1)).expect("followed");
        let page = follower.read(&Selection::everything(), *from, Direction::Forward, 100).expect("readable");
        for event in page.events {
            *from = from.next();
            assert_eq!(event.position(), *from);
            let number = text(&event).split(' ').next().map(str::to_owned);
            assert_eq!(number, Some(from.get().to_string()), "read, lost and written anew");
        }
    }
}

#[test]
fn a_process_that_is_killed_and_started_again_is_followed_without_a_break() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(open(directory.path()));
    let follower = Follower::open(directory.path(), FollowerOptions::default()).expect("a store to follow");
    let mut from = Position::ZERO;
    for (life, durability) in ["synced", "interval", "interval", "synced", "interval"].into_iter().enumerate() {
        let mut child = writing(directory.path(), durability);
        let to = from.get() + 200 + 50 * life as u64;
        read_on(&follower, &mut from, to);
        child.kill().expect("killed");
        child.wait().expect("gone");
        // The rest of what it had synced.
        let rest = follower.refresh().expect("readable");
        read_on(&follower, &mut from, rest.get());
    }
    let engine = open(directory.path());
    assert!(engine.heads().synced >= from);
    let all = engine.heads().synced.get();
    assert!(follower.wait_beyond(Position::new(all - 1), PATIENCE).expect("followed").is_some());
    read_on(&follower, &mut from, all);
}
