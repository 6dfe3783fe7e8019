//! Progress records: compare-and-set, fencing, durability.

use factum_engine::{PROGRESS_BYTES_MAX, Progress, ProgressError};

use crate::support::open;

#[test]
fn progress_is_kept_under_its_name_over_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    assert_eq!(engine.progress("relay").expect("readable"), Progress::default());
    let claimed = engine.claim_progress("relay").expect("claimed");
    assert_eq!((claimed.epoch, claimed.value), (1, None));
    engine.advance_progress("relay", 1, None, b"10").expect("advanced");
    engine.advance_progress("relay", 1, Some(b"10"), &[7; PROGRESS_BYTES_MAX]).expect("advanced");
    drop(engine);
    let engine = open(directory.path());
    let kept = engine.progress("relay").expect("readable");
    assert_eq!((kept.epoch, kept.value), (1, Some(vec![7; PROGRESS_BYTES_MAX])));
    assert_eq!(engine.progress("other").expect("readable"), Progress::default());
}

#[test]
fn a_displaced_owner_is_fenced_and_a_wrong_value_moves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let old = engine.claim_progress("relay").expect("claimed").epoch;
    engine.advance_progress("relay", old, None, b"1").expect("advanced");
    let new = engine.claim_progress("relay").expect("claimed");
    assert_eq!(new.value, Some(b"1".to_vec()));
    match engine.advance_progress("relay", old, Some(b"1"), b"2") {
        Err(ProgressError::Fenced { epoch, current }) => {
            assert_eq!((epoch, current), (old, new.epoch))
        }
        other => panic!("{other:?}"),
    }
    match engine.advance_progress("relay", new.epoch, Some(b"0"), b"2") {
        Err(ProgressError::Moved { current }) => assert_eq!(current, Some(b"1".to_vec())),
        other => panic!("{other:?}"),
    }
    let large = vec![0; PROGRESS_BYTES_MAX + 1];
    let refused = engine.advance_progress("relay", new.epoch, Some(b"1"), &large);
    assert!(matches!(refused, Err(ProgressError::TooLarge { .. })));
    for name in ["", "a\n", &"x".repeat(201)] {
        assert!(matches!(engine.progress(name), Err(ProgressError::InvalidName)));
    }
    assert_eq!(engine.progress("relay").expect("readable").value, Some(b"1".to_vec()));
}
