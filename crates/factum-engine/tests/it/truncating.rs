//! The log cut off, or lost, at every byte.

use std::sync::Arc;

use factum_engine::sim::SimDisk;
use factum_engine::{Drive, Engine, Entropy, ExpectedVersion, OpenError, Options};

use crate::support::{all_texts, expecting, note};

const LOG: &str = "segment-00000001.log";

fn options() -> Options {
    Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192)
}

/// A small log, what it holds and where each group ends; closed cleanly or not.
fn small_log(clean: bool) -> (SimDisk, Vec<(String, String)>, Vec<usize>) {
    let disk = SimDisk::new();
    let engine = Engine::open_on(Arc::new(disk.clone()), options()).expect("opens");
    let mut ends = Vec::new();
    let mut append = |append| {
        engine.append(append).expect("accepted");
        let log = disk.contents(LOG).expect("a log");
        ends.push(log.iter().rposition(|byte| *byte != 0).expect("bytes") + 1);
    };
    append(note("a-1", "one"));
    append(expecting("b-1", ExpectedVersion::NoStream, &["two", "three"]));
    append(note("a-1", "four"));
    let texts = all_texts(&engine);
    if clean {
        engine.close().expect("closes");
        return (disk, texts, ends);
    }
    (disk.after_kill(), texts, ends)
}

/// The same disk with another log.
fn with_log(disk: &SimDisk, log: &[u8]) -> SimDisk {
    let other = SimDisk::new();
    for name in ["identity", "closed"] {
        if let Some(bytes) = disk.contents(name) {
            other.tamper(name, &bytes);
        }
    }
    other.tamper(LOG, log);
    other
}

#[test]
fn a_log_file_that_is_shorter_than_it_was_made_is_refused_at_every_length() {
    for clean in [false, true] {
        let (disk, texts, _) = small_log(clean);
        let log = disk.contents(LOG).expect("a log");
        for length in 0..log.len() {
            match Engine::open_on(Arc::new(with_log(&disk, &log[..length])), options()) {
                Err(OpenError::Corrupt(damage)) => assert_eq!(damage.segment, 1, "{length}"),
                other => panic!("cut at {length}: {other:?}"),
            }
        }
        let whole = Engine::open_on(Arc::new(with_log(&disk, &log)), options()).expect("whole");
        assert_eq!(all_texts(&whole), texts);
    }
}

#[test]
fn a_log_whose_end_never_reached_the_disk_is_cut_to_whole_groups_at_every_byte() {
    let (disk, texts, ends) = small_log(false);
    let log = disk.contents(LOG).expect("a log");
    let held = [0, 1, 3, 4];
    for length in 4_096..log.len() {
        let mut lost = log.clone();
        lost[length..].fill(0);
        let disk = with_log(&disk, &lost);
        let engine = Engine::open_on(Arc::new(disk.clone()), options()).expect("opens");
        let groups = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(all_texts(&engine), texts[..held[groups]], "lost from {length}");
        let torn = lost[4_096..].iter().rposition(|byte| *byte != 0).map_or(4_096, |last| 4_097 + last);
        let kept = if groups == 0 { 4_096 } else { ends[groups - 1] };
        match &engine.recovery().cut {
            None => assert_eq!(torn, kept, "lost from {length}"),
            Some(cut) => {
                assert_eq!((cut.segment, cut.offset as usize, cut.bytes as usize), (1, kept, torn - kept));
                assert_eq!(disk.contents(&cut.side_file).expect("kept"), lost[kept..torn], "lost from {length}");
            }
        }
        assert!(disk.contents(LOG).expect("a log")[kept..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn after_a_clean_close_a_lost_end_is_damage_at_every_byte() {
    let (disk, texts, ends) = small_log(true);
    let log = disk.contents(LOG).expect("a log");
    for length in 4_096..log.len() {
        let mut lost = log.clone();
        lost[length..].fill(0);
        let opened = Engine::open_on(Arc::new(with_log(&disk, &lost)), options());
        if length >= ends[2] {
            assert_eq!(all_texts(&opened.expect("whole")), texts);
            continue;
        }
        match opened {
            Err(OpenError::Corrupt(damage)) => {
                assert!(damage.segment == 1 && (damage.offset as usize) < ends[2], "{length}: {damage}");
                assert!(damage.position.get() <= texts.len() as u64, "{length}: {damage}");
            }
            other => panic!("lost from {length}: {other:?}"),
        }
    }
}
