//! A cold copy becomes a store again, under a new incarnation.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use factum_engine::sim::{SimDisk, SimFault};
use factum_engine::{
    Drive, Engine, Entropy, FollowError, Follower, FollowerOptions, OpenError, Options, Position, RestoreError,
    RestoreReport, restore, restore_on,
};

use crate::support::{all_texts, command, expecting, note, open};

const SEEDS: [u64; 8] = [0, 1, 2, 3, 5, 8, 21, 55];

fn options(seed: u64) -> Options {
    Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(seed)).segment_bytes(8_192)
}

fn start(disk: &SimDisk) -> Engine {
    Engine::open_on(Arc::new(disk.clone()), options(1)).expect("opens")
}

/// A store of several segments, with progress, whose process was killed; and its events.
fn copy() -> (SimDisk, Vec<(String, String)>) {
    let disk = SimDisk::new();
    let engine = start(&disk);
    engine.append(note("a-1", "one").command(command(1, 1))).expect("accepted");
    engine.append(note("a-1", &"two ".repeat(900))).expect("accepted");
    engine.append(note("b-1", &"three ".repeat(400))).expect("accepted");
    engine.claim_progress("relay").expect("claimed");
    engine.advance_progress("relay", 1, None, b"3").expect("advanced");
    engine.claim_progress("timers").expect("claimed");
    let texts = all_texts(&engine);
    (disk.after_kill(), texts)
}

fn restored(copy: &SimDisk, seed: u64) -> (SimDisk, RestoreReport) {
    let target = SimDisk::new();
    let report = restore_on(copy, &target, &options(seed)).expect("restored");
    (target, report)
}

#[test]
fn a_restored_store_has_the_same_history_and_goes_on_under_a_new_incarnation() {
    let (copy, texts) = copy();
    let before = copy.history();
    let (target, report) = restored(&copy, 2);
    assert_eq!(copy.history(), before, "the copy is only read");
    let original = start(&copy);
    // Nothing of it is lost when the power fails behind the answer.
    for target in [target.after_power_loss(0), target.after_power_loss(1)] {
        let engine = start(&target);
        assert_eq!((report.store, report.incarnation), (engine.identity().store, engine.identity().incarnation));
        assert_eq!(engine.identity().store, original.identity().store);
        assert_eq!(engine.identity().key, original.identity().key);
        assert_ne!(engine.identity().incarnation, original.identity().incarnation);
        assert_eq!(engine.identity().forks, std::slice::from_ref(&report.fork));
        assert_eq!(report.fork.parent, original.identity().incarnation);
        assert_eq!(report.fork.position, Position::new(3));
        assert_eq!(report.fork.hash, original.verify(&mut |_| {}).expect("sound").hash);
        assert_eq!(engine.verify(&mut |_| {}).expect("sound").hash, report.fork.hash);
        assert_eq!(engine.recovery().segments, report.segments);
        assert_eq!(all_texts(&engine), texts);

        assert_eq!(report.progress_records, 2);
        let relay = engine.progress("relay").expect("readable");
        assert_eq!((relay.epoch, relay.value), (1, Some(b"3".to_vec())));
        assert_eq!(engine.progress("timers").expect("readable").epoch, 1);
        engine.advance_progress("relay", 1, Some(b"3"), b"4").expect("advanced");

        let repeated = engine.append(note("a-1", "one").command(command(1, 1))).expect("answered");
        assert!(repeated.repeated && repeated.last == Position::new(1));
        let receipt = engine.append(note("a-1", &"four ".repeat(1_500))).expect("accepted");
        assert_eq!(receipt.last, Position::new(4));
        engine.append(note("a-1", "five")).expect("accepted");
        let all = all_texts(&engine);
        drop(engine);
        let engine = start(&target);
        assert_eq!(all_texts(&engine), all, "segments of both incarnations");
        assert_eq!(engine.verify(&mut |_| {}).expect("sound").events, 5);
        assert_eq!(engine.progress("relay").expect("readable").value, Some(b"4".to_vec()));
    }
    assert_eq!(all_texts(&original), texts);
}

#[test]
fn each_restore_mints_an_incarnation_and_forks_stand_in_order() {
    let (copy, texts) = copy();
    let (first, one) = restored(&copy, 2);
    let (_, other) = restored(&copy, 3);
    assert_ne!(one.incarnation, other.incarnation);
    // Of a restored store nothing was added to, and of one that went on.
    let (second, two) = restored(&first, 2);
    let engine = start(&second);
    engine.append(note("a-1", "four")).expect("accepted");
    engine.close().expect("closes");
    let (third, three) = restored(&second, 2);
    let engine = start(&third);
    assert_eq!(engine.identity().forks, [one.fork.clone(), two.fork.clone(), three.fork.clone()]);
    assert_eq!([two.fork.parent, three.fork.parent], [one.incarnation, two.incarnation]);
    let positions = [one, two, three].map(|report| report.fork.position.get());
    assert_eq!(positions, [3, 3, 4]);
    assert_eq!(all_texts(&engine)[..3], texts);
    assert_eq!(engine.verify(&mut |_| {}).expect("sound").events, 4);
    drop(engine);
    let empty = SimDisk::new();
    drop(start(&empty));
    let (restored_empty, report) = restored(&empty, 2);
    assert_eq!(report.fork.position, Position::ZERO);
    assert!(all_texts(&start(&restored_empty)).is_empty());
    let follower = Follower::open_on(Arc::new(third), FollowerOptions::default().drive(Drive::Manual));
    assert_eq!(follower.expect("a store to follow").synced(), Position::new(4));
}

#[test]
fn what_was_forked_elsewhere_or_lost_its_own_segment_is_not_opened() {
    let [shorter, longer] = [1, 2].map(|events| {
        let disk = SimDisk::new();
        let engine = start(&disk);
        (0..events).for_each(|_| drop(engine.append(note("a-1", "more")).expect("accepted")));
        disk.after_kill()
    });
    // From one seed: the same store in the same incarnation, said to be forked at 1 and forked at 2.
    let (at_two, two) = restored(&longer, 2);
    let (at_one, one) = restored(&shorter, 2);
    assert_eq!((one.incarnation, one.fork.position.get(), two.fork.position.get()), (two.incarnation, 1, 2));
    let right = at_two.contents("identity").expect("there");
    at_two.tamper("identity", &at_one.contents("identity").expect("there"));
    let refused = Engine::open_on(Arc::new(at_two.clone()), options(1));
    assert!(matches!(refused, Err(OpenError::Corrupt(damage)) if damage.segment == 2), "{refused:?}");
    at_two.tamper("identity", &right);
    drop(start(&at_two));
    assert!(matches!(restore_on(&at_two, &at_two, &options(1)), Err(RestoreError::TargetOpen)));

    // Without the segment in which it went on it would look like its parent, and go on in the parent's name.
    factum_engine::Disk::remove(&at_two, "segment-00000002.log").expect("removed");
    let refused = Engine::open_on(Arc::new(at_two.clone()), options(1));
    assert!(matches!(refused, Err(OpenError::Corrupt(damage)) if damage.segment == 2), "{refused:?}");
    let refused = restore_on(&at_two, &SimDisk::new(), &options(3));
    assert!(matches!(refused, Err(RestoreError::Corrupt(damage)) if damage.segment == 2), "{refused:?}");
}

#[test]
fn a_torn_tail_stays_behind_and_is_reported() {
    let (copy, texts) = copy();
    let name = "segment-00000002.log";
    let mut log = copy.contents(name).expect("there");
    let end = log.iter().rposition(|byte| *byte != 0).expect("bytes") + 1;
    for torn in [&b"FGRP"[..], &[7; 300]] {
        log[end..].fill(0);
        log[end + 20..end + 20 + torn.len()].copy_from_slice(torn);
        copy.tamper(name, &log);
        let (target, report) = restored(&copy, 2);
        let left = report.left_behind.expect("reported");
        assert_eq!((left.segment, left.bytes), (2, 20 + torn.len() as u64));
        assert!(left.offset <= end as u64 && left.offset + 20 > end as u64 - 20, "{left:?}");
        let engine = start(&target);
        assert_eq!(all_texts(&engine), texts);
        assert_eq!(engine.recovery().cut, None);
        assert_eq!(target.contents(name).expect("there")[end..], vec![0; log.len() - end], "nothing of it");
    }
}

#[test]
fn a_copy_that_is_open_damaged_newer_or_no_store_is_refused_and_leaves_no_trace() {
    let directory = tempfile::tempdir().expect("a directory");
    let [store, target, nothing] = ["store", "target", "nothing"].map(|name| directory.path().join(name));
    let refused = |copy: &Path| {
        let refused = restore(copy, &target, &Options::default()).expect_err("not to be restored");
        assert!(!target.exists(), "{refused}: something was written");
        refused
    };
    assert!(matches!(refused(&nothing), RestoreError::NotFound));
    fs::create_dir(&nothing).expect("made");
    assert!(matches!(refused(&nothing), RestoreError::NotFound));
    assert_eq!(fs::read_dir(&nothing).expect("readable").count(), 0, "not even a lock");

    let engine = Engine::open(&store, Options::default().segment_bytes(8_192)).expect("opens");
    engine.append(note("a-1", &"one ".repeat(800))).expect("accepted");
    engine.append(note("a-1", &"two ".repeat(800))).expect("accepted");
    engine.append(note("a-1", "three")).expect("accepted");
    engine.claim_progress("relay").expect("claimed");
    assert!(matches!(refused(&store), RestoreError::Open));
    engine.close().expect("closes");

    let names = fs::read_dir(&store).expect("readable").map(|entry| entry.expect("readable").file_name());
    let names: Vec<String> = names.map(|name| name.into_string().expect("text")).collect();
    let progress = names.iter().find(|name| name.starts_with("progress-")).expect("there").as_str();
    let spoiled = |file: &str, spoil: &dyn Fn(&mut Vec<u8>)| {
        let path = store.join(file);
        let before = fs::read(&path).expect("readable");
        let mut bytes = before.clone();
        spoil(&mut bytes);
        fs::write(&path, bytes).expect("writable");
        let refused = refused(&store);
        fs::write(&path, before).expect("writable");
        refused
    };
    let (first, second) = ("segment-00000001.log", "segment-00000002.log");
    for file in ["identity", "closed", first, second] {
        let refused = spoiled(file, &|bytes| bytes[8] = 9);
        assert!(matches!(refused, RestoreError::NewerFormat { found: 9, .. }), "{file}: {refused}");
    }
    // The slot of its first write is the second.
    let newer = spoiled(progress, &|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle + 8] = 9;
    });
    assert!(matches!(newer, RestoreError::NewerFormat { found: 9, .. }), "{newer}");
    assert!(matches!(spoiled(progress, &|bytes| bytes.fill(1)), RestoreError::Progress { file } if file == progress));
    assert!(matches!(spoiled("identity", &|bytes| bytes[40] ^= 1), RestoreError::Identity { .. }));
    for (file, segment, position) in [(first, 1, 1), (second, 2, 2)] {
        match spoiled(file, &|bytes| bytes[4096 + 1_000] ^= 1) {
            RestoreError::Corrupt(damage) => {
                assert_eq!((damage.segment, damage.position), (segment, Position::new(position)));
            }
            other => panic!("{file}: {other}"),
        }
    }
    match spoiled(second, &|bytes| bytes[4096..].fill(0)) {
        RestoreError::Corrupt(damage) => assert_eq!(damage.position, Position::new(2), "it was closed behind that"),
        other => panic!("{other}"),
    }
    assert!(matches!(spoiled(second, &|bytes| bytes.truncate(5_000)), RestoreError::Corrupt(_)));
    let flip = |text: &'static [u8]| {
        move |bytes: &mut Vec<u8>| {
            let at = bytes.windows(text.len()).position(|part| part == text).expect("stored");
            bytes[at] ^= 1;
        }
    };
    // The last group: only the marker of the clean close tells that it was acknowledged.
    match spoiled(second, &flip(b"three")) {
        RestoreError::Corrupt(damage) => assert_eq!(damage.position, Position::new(3)),
        other => panic!("{other}"),
    }
    // The one before it: the last group tells.
    let marker = fs::read(store.join("closed")).expect("readable");
    fs::remove_file(store.join("closed")).expect("removed");
    match spoiled(second, &flip(b"two two")) {
        RestoreError::Corrupt(damage) => assert_eq!(damage.position, Position::new(2)),
        other => panic!("{other}"),
    }
    fs::write(store.join("closed"), marker).expect("put back");
    fs::rename(store.join(first), directory.path().join("away")).expect("put away");
    assert!(matches!(refused(&store), RestoreError::Corrupt(damage) if damage.segment == 1));
    fs::rename(directory.path().join("away"), store.join(first)).expect("put back");
    fs::write(store.join("restoring"), "").expect("written");
    assert!(matches!(refused(&store), RestoreError::UnfinishedCopy));
    fs::remove_file(store.join("restoring")).expect("removed");
    fs::remove_file(store.join("lock")).expect("removed");
    let report = restore(&store, &target, &Options::default()).expect("restored");
    assert_eq!(report.fork.position, Position::new(3));
    assert!(!store.join("lock").exists(), "the copy is only read");
    assert_eq!(all_texts(&open(&target)).len(), 3);
}

#[test]
fn a_target_that_is_not_empty_or_in_use_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let [copy, target] = ["copy", "target"].map(|name| directory.path().join(name));
    drop(open(&copy));
    fs::create_dir(&target).expect("made");
    fs::write(target.join("letters.txt"), "dear").expect("written");
    let refused = restore(&copy, &target, &Options::default());
    assert!(matches!(refused, Err(RestoreError::NotEmpty { file }) if file == "letters.txt"));
    // Not even under the mark of an unfinished restore is anything removed that no restore makes.
    fs::write(target.join("restoring"), "").expect("written");
    fs::write(target.join("identity"), "").expect("written");
    let refused = restore(&copy, &target, &Options::default());
    assert!(matches!(refused, Err(RestoreError::NotEmpty { file }) if file == "letters.txt"));
    assert!(target.join("identity").exists());
    assert!(matches!(Engine::open(&target, Options::default()), Err(OpenError::UnfinishedRestore)));
    let follower = Follower::open(&target, FollowerOptions::default());
    assert!(matches!(follower, Err(FollowError::UnfinishedRestore)));

    let taken = directory.path().join("taken");
    let engine = open(&taken);
    assert!(matches!(restore(&copy, &taken, &Options::default()), Err(RestoreError::TargetOpen)));
    drop(engine);
    assert!(matches!(restore(&copy, &taken, &Options::default()), Err(RestoreError::NotEmpty { .. })));
    assert!(matches!(restore(&copy, &copy, &Options::default()), Err(RestoreError::TargetOpen)));
    open(&taken);
}

#[test]
fn a_follower_of_the_lost_store_is_told_that_it_was_restored() {
    let directory = tempfile::tempdir().expect("a directory");
    let [store, copy] = ["store", "copy"].map(|name| directory.path().join(name));
    let engine = open(&store);
    engine.append(expecting("a-1", factum_engine::ExpectedVersion::Any, &["one", "two"])).expect("accepted");
    drop(engine);
    fs::rename(&store, &copy).expect("put away");
    let follower = Follower::open(&copy, FollowerOptions::default().drive(Drive::Manual)).expect("a store to follow");
    let away = directory.path().join("away");
    fs::create_dir(&away).expect("made");
    let report = restore(&copy, &store, &Options::default()).expect("restored");
    follower.refresh().expect("nothing new there");
    fs::rename(&copy, away.join("copy")).expect("put away");
    fs::rename(&store, &copy).expect("put in its place");
    match follower.refresh() {
        Err(FollowError::Replaced { incarnation }) => assert_eq!(incarnation, report.incarnation),
        other => panic!("{other:?}"),
    }
    let follower = Follower::open(&copy, FollowerOptions::default().drive(Drive::Manual)).expect("opened anew");
    assert_eq!(follower.synced(), Position::new(2), "before anybody opened it for writing");
}

/// What may be found where a restore was interrupted; then it is restored into again.
fn check_interrupted(copy: &SimDisk, target: &SimDisk, texts: &[(String, String)], story: &str) -> bool {
    let finished = match Engine::open_on(Arc::new(target.clone()), options(9)) {
        Err(OpenError::UnfinishedRestore) => false,
        Ok(engine) if engine.recovery().created => {
            // Nothing of the restore was there yet, or it is gone.
            assert!(engine.identity().forks.is_empty(), "{story}");
            return false;
        }
        Ok(engine) => {
            assert_eq!(all_texts(&engine), texts, "{story}");
            assert_eq!(engine.identity().forks.len(), 1, "{story}");
            assert_eq!(engine.progress("relay").expect(story).value, Some(b"3".to_vec()), "{story}");
            engine.verify(&mut |_| {}).expect(story);
            true
        }
        Err(error) => panic!("{story}: {error}"),
    };
    match restore_on(copy, target, &options(4)) {
        Ok(report) => {
            assert!(!finished, "{story}");
            let target = target.after_power_loss(0);
            let engine = start(&target);
            assert_eq!(engine.identity().incarnation, report.incarnation, "{story}");
            assert_eq!(all_texts(&engine), texts, "{story}");
            assert_eq!(engine.progress("relay").expect(story).value, Some(b"3".to_vec()), "{story}");
        }
        Err(RestoreError::NotEmpty { .. }) => assert!(finished, "{story}"),
        Err(error) => panic!("{story}: {error}"),
    }
    finished
}

#[test]
fn a_restore_that_is_interrupted_anywhere_is_no_store_and_can_be_done_again() {
    let (copy, texts) = copy();
    let (target, _) = restored(&copy, 2);
    let operations = target.operations();
    let mut finished = 0;
    for operation in 1..=operations {
        for seed in SEEDS {
            let target = SimDisk::new();
            target.fail_at(operation, SimFault::PowerLoss);
            let answer = restore_on(&copy, &target, &options(2));
            assert!(matches!(answer, Err(RestoreError::Target(_))), "{answer:?}");
            let what = target.history().last().cloned().unwrap_or_default();
            let story = format!("power lost at operation {operation} ({what}), seed {seed}");
            let killed = target.after_kill();
            for target in [target.after_power_loss(seed), killed] {
                finished += u32::from(check_interrupted(&copy, &target, &texts, &story));
            }
        }
    }
    assert!(finished > 0 && u64::from(finished) < operations, "{finished} of {operations} had come to the end");
}

#[test]
fn a_restore_onto_a_disk_that_is_full_or_fails_says_so_and_can_be_done_again() {
    let (copy, texts) = copy();
    let (target, _) = restored(&copy, 2);
    for space in [0, 10, 1_000, 9_000, 20_000, 160_000, 163_840] {
        let target = SimDisk::new();
        target.set_space(Some(space));
        let refused = restore_on(&copy, &target, &options(2));
        assert!(matches!(refused, Err(RestoreError::DiskFull)), "{space}: {refused:?}");
        target.set_space(None);
        restore_on(&copy, &target, &options(2)).expect("restored");
        assert_eq!(all_texts(&start(&target)), texts);
    }
    for operation in 1..=target.operations() {
        let target = SimDisk::new();
        target.fail_at(operation, SimFault::Error(ErrorKind::Other));
        let refused = restore_on(&copy, &target, &options(2));
        assert!(matches!(refused, Err(RestoreError::Target(_))), "{operation}: {refused:?}");
        check_interrupted(&copy, &target, &texts, &format!("failed at operation {operation}"));
    }
}
