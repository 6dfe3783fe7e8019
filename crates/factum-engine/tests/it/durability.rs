//! The weaker modes of durability: what is answered before it is synced, who sees it, and what a power cut may take.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use factum_engine::sim::{SimDisk, SimFault};
use factum_engine::{
    AppendError, Boundary, Direction, Drive, Durability, Engine, Entropy, ExpectedVersion, OpenError, Options,
    Position, Selection, SyncError, Version,
};

use crate::support::{all_texts, command, expecting, note, now, stream, texts_of, wait};

/// What survives of un-synced sectors and names: nothing, everything, and mixtures.
const SEEDS: [u64; 12] = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144];
const INTERVAL: Duration = Duration::from_millis(50);

fn options() -> Options {
    let options = Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192);
    options.durability(Durability::Interval(INTERVAL))
}

fn open(disk: &SimDisk) -> Engine {
    Engine::open_on(Arc::new(disk.clone()), options()).expect("opens")
}

fn heads(engine: &Engine) -> (u64, u64) {
    (engine.heads().written.get(), engine.heads().synced.get())
}

#[test]
fn decisions_see_what_is_written_and_everybody_else_what_is_synced() {
    let disk = SimDisk::new();
    let engine = open(&disk);
    let before = disk.operations();
    engine.append(note("a-1", "one").command(command(1, 1))).expect("accepted");
    assert_eq!(disk.operations(), before + 1, "a write and no sync: {:?}", disk.history());
    assert_eq!(heads(&engine), (1, 0));

    assert_eq!(texts_of(&engine, "a-1"), ["one"], "loading for a decision");
    assert_eq!(engine.stream_version(&stream("a-1")).expect("readable"), Version::new(1));
    assert!(engine.command([1; 16]).expect("readable").is_some());
    let refused = engine.append(expecting("a-1", ExpectedVersion::NoStream, &["two"]));
    assert!(matches!(refused, Err(AppendError::Conflict { actual, .. }) if actual == Version::new(1)), "{refused:?}");
    let repeated = engine.append(note("a-1", "one").command(command(1, 1))).expect("answered");
    assert!(repeated.repeated);
    let refused = engine.append(note("b-1", "two").unless(Boundary::nothing_like(Selection::everything())));
    assert!(matches!(refused, Err(AppendError::BoundaryCrossed { .. })), "{refused:?}");

    assert!(all_texts(&engine).is_empty(), "everybody else");
    assert!(all_texts_backward(&engine).is_empty());
    assert_eq!(engine.verify(&mut |_| {}).expect("sound").events, 0);
    let mut beyond = std::pin::pin!(engine.beyond(Position::ZERO));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(beyond.as_mut().poll(&mut context).is_pending());

    assert_eq!(engine.sync().expect("synced").synced, Position::new(1));
    assert_eq!(now(beyond), Ok(Position::new(1)));
    engine.append(note("a-1", "two")).expect("accepted");
    assert_eq!(all_texts(&engine).len(), 1);
    assert_eq!(all_texts_backward(&engine), ["one"]);
    assert_eq!(engine.verify(&mut |_| {}).expect("sound").events, 1);
    assert_eq!(heads(&engine), (2, 1));
}

fn all_texts_backward(engine: &Engine) -> Vec<String> {
    let page = engine.read(&Selection::everything(), Position::MAX, Direction::Backward, 100).expect("readable");
    assert!(page.end);
    page.events.iter().map(crate::support::text).collect()
}

#[test]
fn the_strong_mode_never_shows_a_difference() {
    let disk = SimDisk::new();
    let engine = Engine::open_on(Arc::new(disk), options().durability(Durability::Synced)).expect("opens");
    engine.append(note("a-1", "one")).expect("accepted");
    assert_eq!(heads(&engine), (1, 1));
    assert_eq!(engine.sync().expect("nothing to do").synced, Position::new(1));
}

#[test]
fn the_background_syncs_within_the_interval() {
    for durability in [Durability::Interval(Duration::from_millis(2)), Durability::Unsynced] {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::open(directory.path(), Options::default().durability(durability)).expect("opens");
        let receipt = engine.append(note("a-1", "one")).expect("accepted");
        if durability == Durability::Unsynced {
            // Its own limit is too long to be waited for here; closing does not wait for it.
            engine.close().expect("closes");
            let engine = Engine::open(directory.path(), Options::default()).expect("opens");
            assert!(engine.recovery().clean);
            assert_eq!(heads(&engine), (1, 1));
        } else {
            assert_eq!(wait(engine.beyond(Position::ZERO)), Ok(receipt.last));
            wait(engine.submit(note("a-1", "two"))).expect("accepted");
            assert_eq!(wait(engine.beyond(receipt.last)), Ok(receipt.last.next()));
        }
    }
}

#[test]
fn a_failed_sync_in_the_background_makes_the_store_read_only() {
    let disk = SimDisk::new();
    let engine = open(&disk);
    engine.append(note("a-1", "one")).expect("accepted");
    engine.sync().expect("synced");
    engine.append(note("a-1", "two")).expect("accepted");
    disk.fail_at(disk.operations() + 1, SimFault::Error(ErrorKind::Other));
    assert!(matches!(engine.sync(), Err(SyncError::Poisoned(_))));
    assert!(disk.history().last().expect("history").starts_with("sync segment"));
    assert!(matches!(engine.append(note("a-1", "three")), Err(AppendError::Poisoned(_))));
    assert!(matches!(engine.sync(), Err(SyncError::Poisoned(_))), "a second sync would prove nothing");
    assert_eq!(heads(&engine), (2, 1));
    assert_eq!(all_texts(&engine).len(), 1, "reads go on up to the synced head");
    assert!(engine.close().is_err());
    assert!(matches!(engine.sync(), Err(SyncError::Closed)));
    // The page cache still shows it: it is written again before anybody sees it.
    let restarted = disk.after_kill();
    let engine = open(&restarted);
    assert_eq!(engine.recovery().rewritten_groups, 1);
    assert_eq!(heads(&engine), (2, 2));
    assert_eq!(heads(&open(&restarted.after_power_loss(0))), (2, 2));
}

/// A file system that finds space only when it writes back: which pages it did not write is not told.
#[test]
fn a_sync_that_finds_the_disk_full_poisons_and_does_not_recover_by_itself() {
    for durability in [Durability::Synced, Durability::Interval(INTERVAL)] {
        let disk = SimDisk::new();
        let engine = Engine::open_on(Arc::new(disk.clone()), options().durability(durability)).expect("opens");
        engine.append(note("a-1", "one")).expect("accepted");
        engine.sync().expect("synced");
        disk.fail_at(disk.operations() + 2, SimFault::Error(ErrorKind::StorageFull));
        let answer = engine.append(note("a-1", "two")).map(drop);
        let told = if durability == Durability::Synced { answer } else { answer.and_then(|()| later(&engine)) };
        assert!(matches!(told, Err(AppendError::Poisoned(_))), "{durability:?}: {told:?}");
        assert!(disk.history().last().expect("history").starts_with("sync segment"));
        assert!(matches!(engine.append(note("a-1", "three")), Err(AppendError::Poisoned(_))));
        assert_eq!(engine.heads().synced, Position::new(1));
        let restarted = disk.after_kill();
        assert_eq!(texts_of(&open(&restarted), "a-1"), ["one", "two"]);
        assert_eq!(texts_of(&open(&restarted.after_power_loss(0)), "a-1"), ["one", "two"]);
    }
}

/// What the sync in the background says, as the next append is told.
fn later(engine: &Engine) -> Result<(), AppendError> {
    engine.sync().map(drop).map_err(|error| match error {
        SyncError::Poisoned(error) => AppendError::Poisoned(error),
        _ => AppendError::Closed,
    })
}

#[test]
fn the_thread_in_the_background_poisons_too() {
    let disk = SimDisk::new();
    let options = options().drive(Drive::Threads).durability(Durability::Interval(Duration::from_millis(1)));
    // So large that no helper prepares another meanwhile: its operations would come between.
    let options = options.segment_bytes(1 << 20);
    let engine = Engine::open_on(Arc::new(disk.clone()), options).expect("opens");
    let sync = disk.operations() + 2;
    disk.fail_at(sync, SimFault::Error(ErrorKind::Other));
    engine.append(note("a-1", "one")).expect("accepted");
    let deadline = Instant::now() + Duration::from_secs(10);
    while disk.operations() < sync {
        assert!(Instant::now() < deadline, "synced in the background");
        std::thread::yield_now();
    }
    assert_eq!(disk.history()[sync as usize - 1], "sync segment-00000001.log");
    while !matches!(engine.append(note("a-1", "more")), Err(AppendError::Poisoned(_))) {
        assert!(Instant::now() < deadline, "poisoned in the end");
        std::thread::yield_now();
    }
    assert_eq!(engine.heads().synced, Position::ZERO);
}

#[test]
fn closing_syncs_and_a_new_segment_is_begun_behind_synced_ones_only() {
    let disk = SimDisk::new();
    let engine = open(&disk);
    for number in 0..4 {
        engine.append(note("a-1", &format!("{number} ").repeat(600))).expect("accepted");
    }
    let history = disk.history();
    let renamed = history.iter().position(|what| what.contains("to segment-00000002.log")).expect("it rolled");
    let synced = history[..renamed].iter().rposition(|what| what == "sync segment-00000001.log").expect("synced");
    let written = history[..renamed].iter().rposition(|what| what.ends_with("of segment-00000001.log"));
    assert!(written.expect("written") < synced, "{history:#?}");
    assert!(heads(&engine).1 > 0);
    engine.close().expect("closes");
    let engine = open(&disk.after_power_loss(0));
    assert!(engine.recovery().clean);
    assert_eq!(heads(&engine), (4, 4));
}

/// Groups were written without a sync, the power failed, and the first of them was torn while a later one was whole:
/// nothing proves that the first was ever synced, so it is no damage.
#[test]
fn a_whole_group_behind_a_torn_one_is_damage_only_if_it_says_that_the_torn_one_was_synced() {
    for sync_between in [false, true] {
        let disk = SimDisk::new();
        let engine = open(&disk);
        engine.append(note("a-1", "one")).expect("accepted");
        engine.sync().expect("synced");
        engine.append(note("a-1", "two")).expect("accepted");
        if sync_between {
            engine.sync().expect("synced");
        }
        engine.append(note("a-1", "three")).expect("accepted");
        let after = disk.after_power_loss(1);
        let mut bytes = after.contents("segment-00000001.log").expect("a log");
        let at = bytes.windows(3).position(|text| text == b"two").expect("stored");
        bytes[at] ^= 1;
        after.tamper("segment-00000001.log", &bytes);
        match Engine::open_on(Arc::new(after), options()) {
            Ok(engine) => {
                assert!(!sync_between);
                assert_eq!(texts_of(&engine, "a-1"), ["one"]);
                assert!(engine.recovery().cut.is_some());
            }
            Err(OpenError::Corrupt(damage)) => {
                assert!(sync_between);
                assert_eq!(damage.position, Position::new(2));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What somebody was told before the power failed.
#[derive(Default)]
struct Told {
    /// Texts of everything acknowledged, and of what was under way, in order.
    written: Vec<String>,
    acknowledged: usize,
    /// What a subscriber saw.
    seen: Vec<(String, String)>,
}

/// Ended by the power.
struct Dark;

impl Told {
    fn append(&mut self, engine: &Engine, text: &str) -> Result<(), Dark> {
        self.written.truncate(self.acknowledged);
        self.written.push(text.to_owned());
        engine.append(note("a-1", text)).map_err(|_| Dark)?;
        self.acknowledged += 1;
        self.look(engine)
    }

    fn look(&mut self, engine: &Engine) -> Result<(), Dark> {
        let page = engine.read(&Selection::everything(), Position::ZERO, Direction::Forward, 100).map_err(|_| Dark)?;
        let seen = page.events.iter().map(|event| (event.stream().to_owned(), crate::support::text(event)));
        let seen: Vec<_> = seen.collect();
        assert_eq!(seen.len() as u64, engine.heads().synced.get());
        assert_eq!(seen[..self.seen.len()], self.seen, "what was seen stays");
        self.seen = seen;
        Ok(())
    }

    fn open(&mut self, disk: &SimDisk) -> Result<Engine, Dark> {
        let engine = Engine::open_on(Arc::new(disk.clone()), options()).map_err(|_| Dark)?;
        self.look(&engine)?;
        Ok(engine)
    }

    fn sync(&mut self, engine: &Engine) -> Result<(), Dark> {
        engine.sync().map_err(|_| Dark)?;
        self.look(engine)?;
        assert_eq!(self.seen.len(), self.acknowledged);
        Ok(())
    }
}

fn work(disk: &SimDisk, told: &mut Told) -> Result<(), Dark> {
    let engine = told.open(disk)?;
    told.append(&engine, "one")?;
    told.append(&engine, &"two ".repeat(300))?;
    told.sync(&engine)?;
    told.append(&engine, "three")?;
    told.append(&engine, &"four ".repeat(200))?;
    told.append(&engine, &"five ".repeat(400))?;
    told.append(&engine, "six")?;
    told.append(&engine, &"seven ".repeat(300))?;
    told.sync(&engine)?;
    told.append(&engine, "eight")?;
    // Dropped: a clean close, which syncs.
    drop(engine);
    let engine = told.open(disk)?;
    told.append(&engine, "nine")?;
    told.append(&engine, &"ten ".repeat(900))?;
    told.append(&engine, "eleven")?;
    told.append(&engine, "twelve")?;
    Ok(())
}

#[test]
fn a_power_cut_takes_the_end_of_what_was_acknowledged_and_nothing_that_was_seen() {
    let disk = SimDisk::new();
    assert!(work(&disk, &mut Told::default()).is_ok());
    let operations = disk.operations();
    let mut lost = 0;
    for operation in 1..=operations + 1 {
        for seed in SEEDS {
            let disk = SimDisk::new();
            disk.fail_at(operation, SimFault::PowerLoss);
            let mut told = Told::default();
            let _ended = work(&disk, &mut told);
            let story = format!("power lost at operation {operation}, seed {seed}");
            let after = disk.after_power_loss(seed);
            let engine = Engine::open_on(Arc::new(after.clone()), options()).expect(&story);
            let found = all_texts(&engine);
            assert_eq!(heads(&engine), (found.len() as u64, found.len() as u64), "{story}");
            let texts: Vec<&String> = found.iter().map(|(_, text)| text).collect();
            assert!(texts.len() <= told.written.len(), "{story}");
            assert_eq!(texts, told.written[..texts.len()].iter().collect::<Vec<_>>(), "{story}: all up to some point");
            assert!(found.len() >= told.seen.len(), "{story}: seen, then lost");
            lost += told.acknowledged.saturating_sub(found.len());
            engine.verify(&mut |_| {}).expect(&story);
            engine.append(note("a-1", "afterwards")).expect(&story);
            engine.sync().expect(&story);
            let again = open(&after.after_power_loss(0));
            let expected: Vec<_> = found.into_iter().chain([("a-1".to_owned(), "afterwards".to_owned())]).collect();
            assert_eq!(all_texts(&again), expected, "{story}: reopened");
        }
    }
    assert!(lost > 100, "the mode is weak: {lost} appends lost over all crashes");
}

#[test]
fn a_killed_process_loses_nothing_in_any_mode() {
    let disk = SimDisk::new();
    assert!(work(&disk, &mut Told::default()).is_ok());
    for operation in 1..=disk.operations() + 1 {
        let disk = SimDisk::new();
        disk.fail_at(operation, SimFault::PowerLoss);
        let mut told = Told::default();
        let _ended = work(&disk, &mut told);
        let engine = open(&disk.after_kill());
        assert!(all_texts(&engine).len() >= told.acknowledged, "killed at operation {operation}");
    }
}

#[test]
fn an_interval_outside_its_limits_is_refused() {
    for interval in [Duration::ZERO, Duration::from_micros(999), Duration::from_millis(60_001)] {
        let options = options().durability(Durability::Interval(interval));
        let refused = Engine::open_on(Arc::new(SimDisk::new()), options);
        assert!(matches!(refused, Err(OpenError::Options(_))), "{interval:?}");
    }
}
