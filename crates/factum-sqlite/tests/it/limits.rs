//! Waits end: for a connection of this process, and for another process's lock.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use factum::read::{Generation, Generations as _, KeyRange, ReadError, ReadStore};
use factum_sqlite::{SqliteOptions, SqliteReadStore};
use rusqlite::Connection;

use crate::{LINES, SUMMARIES, put, rows};

#[track_caller]
fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, ReadError>) {
    assert!(matches!(result, Err(ReadError::Unavailable(_))), "{result:?}");
}

#[test]
fn a_lock_held_by_another_process_makes_writes_unavailable_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let store = SqliteReadStore::open(&path, SqliteOptions::default().busy_timeout(Duration::from_millis(20))).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    put(&store, epoch, "a", "1").unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_unavailable(put(&store, epoch, "b", "1"));
    assert_unavailable(store.claim(SUMMARIES));
    assert_eq!(rows(&store).unwrap().len(), 1);
    // Opened beside it, the file can be checked and read.
    assert_eq!(rows(&SqliteReadStore::open(&path, SqliteOptions::default()).unwrap()).unwrap().len(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    put(&store, epoch, "b", "1").unwrap();
    assert_eq!(rows(&store).unwrap().len(), 2);
}

#[test]
fn a_reader_waits_for_a_connection_no_longer_than_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().readers_max(2).wait_timeout(Duration::from_millis(20));
    let store = SqliteReadStore::open(dir.path().join("read.db"), options).unwrap();
    store
        .read(&mut |_| {
            store.read(&mut |_| {
                assert_unavailable(store.read(&mut |_| Ok(())));
                // Whoever must not wait is told so at once.
                assert!(!store.try_read(&mut |_| panic!("nothing to read with"))?);
                Ok(())
            })
        })
        .unwrap();
    store.read(&mut |_| Ok(())).unwrap();
    assert!(store.try_read(&mut |_| Ok(())).unwrap());
}

#[test]
fn a_writer_waits_for_the_one_before_it_no_longer_than_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().wait_timeout(Duration::from_millis(20));
    let store = SqliteReadStore::open(dir.path().join("read.db"), options).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    store
        .write(SUMMARIES, epoch, &[], &mut |_| {
            assert_unavailable(put(&store, epoch, "a", "1"));
            Ok(())
        })
        .unwrap();
    put(&store, epoch, "a", "1").unwrap();
}

#[test]
fn a_query_that_holds_its_snapshot_too_long_reads_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().query_timeout(Duration::ZERO);
    let store = SqliteReadStore::open(dir.path().join("read.db"), options).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    // A projection takes as long as it takes.
    put(&store, epoch, "a", "1").unwrap();
    assert_unavailable(store.read(&mut |snapshot| snapshot.get(LINES, &"a".into()).map(|_| ())));
    assert_unavailable(rows(&store));
    store.read(&mut |_| Ok(())).unwrap();
}

/// A query that takes long: the projection goes on all the while, and the query sees the moment at which it began.
#[test]
fn a_long_query_sees_one_moment_and_holds_up_no_projection() {
    const BATCHES: u32 = 200;
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteReadStore::open(dir.path().join("read.db"), SqliteOptions::default()).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    // Two documents that always say the same, and one more with each batch.
    let batch = |number: u32| {
        store.write(SUMMARIES, epoch, &[], &mut |tx| {
            for key in ["a".to_owned(), "b".to_owned(), format!("batch {number:04}")] {
                tx.put(LINES, &key.as_str().into(), number.to_string().into_bytes())?;
            }
            Ok(())
        })
    };
    batch(0).unwrap();
    store
        .read(&mut |query| {
            assert_eq!(query.get(LINES, &"a".into())?.unwrap(), b"0");
            for number in 1..=BATCHES {
                batch(number)?;
                assert_eq!(query.get(LINES, &"b".into())?.unwrap(), b"0");
                // Another query, begun now, sees what is there now.
                assert_eq!(rows(&store)?.len() as u32, 3 + number);
            }
            assert_eq!(query.scan(LINES, &KeyRange::all(), usize::MAX)?.len(), 3);
            Ok(())
        })
        .unwrap();
    assert_eq!(rows(&store).unwrap().len() as u32, 3 + BATCHES);
}

/// As long as somebody reads, SQLite by itself never begins its write-ahead log anew.
#[test]
fn the_write_ahead_log_stays_bounded_while_somebody_always_reads() {
    const LOG_BYTES_MAX: u64 = 64 << 20;
    const QUERY: Duration = Duration::from_millis(5);
    const READERS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    put(&store, epoch, "a", "{}").unwrap();
    let done = AtomicBool::new(false);
    let mut longest = 0;
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let query = store.read(&mut |snapshot| {
                        snapshot.get(LINES, &"a".into())?;
                        std::thread::sleep(QUERY);
                        Ok(())
                    });
                    query.unwrap();
                }
            });
        }
        let written = (0..200).try_for_each(|round| {
            // Never the same twice: SQLite does not write what is there already.
            put(&store, epoch, "b", &format!("{round:04}").repeat(250_000))?;
            longest = longest.max(std::fs::metadata(dir.path().join("read.db-wal")).unwrap().len());
            Ok::<_, ReadError>(())
        });
        done.store(true, Ordering::SeqCst);
        written.unwrap();
    });
    assert!(longest < 2 * LOG_BYTES_MAX, "the write-ahead log grew to {longest} bytes");
}

/// A comparison of generations takes its time: were its connection one of the queries', as many of them as there are
/// connections would leave none to ask with.
#[test]
fn generations_are_compared_on_a_connection_that_no_query_waits_for() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().readers_max(1).wait_timeout(Duration::from_millis(20));
    let store = SqliteReadStore::open(dir.path().join("read.db"), options).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    put(&store, epoch, "a", "1").unwrap();
    store
        .inspect(&mut |inspection| {
            inspection.checkpoints(SUMMARIES, Generation::FIRST)?;
            assert_eq!(rows(&store)?.len(), 1);
            put(&store, epoch, "b", "1")?;
            assert_eq!(rows(&store)?.len(), 2);
            // One at a time: each holds a snapshot.
            assert_unavailable(store.inspect(&mut |_| Ok(())));
            assert_eq!(inspection.rows(SUMMARIES, Generation::FIRST, "lines", None, 9)?.len(), 1, "as it was");
            Ok(())
        })
        .unwrap();
    store.inspect(&mut |_| Ok(())).unwrap();
}

/// Commits that find the write-ahead log too long begin it anew, and wait for the queries under way; the snapshot of a
/// comparison is none of them. What it kept the log from being rid of is gone soon after.
#[test]
fn no_commit_waits_for_a_comparison_and_the_log_is_short_again_after_it() {
    const LOG_BYTES_MAX: u64 = 64 << 20;
    const COMMITS: u32 = 40;
    /// As long as each commit would wait.
    const WAIT: Duration = Duration::from_millis(500);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    let log_bytes = || std::fs::metadata(dir.path().join("read.db-wal")).unwrap().len();
    let write = |number: u32| put(&store, epoch, &format!("{number}"), &format!("{number:04}").repeat(250_000));
    put(&store, epoch, "a", "1").unwrap();
    store
        .inspect(&mut |inspection| {
            inspection.checkpoints(SUMMARIES, Generation::FIRST)?;
            (0..80).try_for_each(write)?;
            assert!(log_bytes() > LOG_BYTES_MAX, "{}", log_bytes());
            let begun = Instant::now();
            (80..80 + COMMITS).try_for_each(write)?;
            assert!(begun.elapsed() < WAIT * COMMITS / 2, "each waited: {:?}", begun.elapsed());
            assert_eq!(inspection.rows(SUMMARIES, Generation::FIRST, "lines", None, 9)?.len(), 1, "as it was");
            Ok(())
        })
        .unwrap();
    write(0).unwrap();
    write(1).unwrap();
    assert!(log_bytes() < LOG_BYTES_MAX, "{}", log_bytes());
}

#[test]
fn a_comparison_that_keeps_too_much_of_the_log_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().inspection_log_bytes_max(1 << 20);
    let store = SqliteReadStore::open(dir.path().join("read.db"), options).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    put(&store, epoch, "a", "1").unwrap();
    let result = store.inspect(&mut |inspection| {
        let mut look = || inspection.rows(SUMMARIES, Generation::FIRST, "lines", None, 9);
        look()?;
        put(&store, epoch, "b", &"x".repeat(1 << 19))?;
        look()?;
        put(&store, epoch, "c", &"x".repeat(1 << 20))?;
        look().map(|_| ())
    });
    assert!(result.as_ref().is_err_and(|error| error.to_string().contains("has grown to")), "{result:?}");
    assert_unavailable(result);
    assert_eq!(rows(&store).unwrap().len(), 3);
}
