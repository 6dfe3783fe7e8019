//! What only the inside can bring about, or see: a full disk, and what is written beside what answers.

use factum::{
    ProjectionKey,
    read::{Claimed, Epoch, Generation, Generations, Key, KeyRange, ReadError, ReadStore, Role, TableName},
};

use crate::{SqliteOptions, SqliteReadStore, checkpoints, generations::Place};

const SUMMARIES: ProjectionKey = ProjectionKey { name: "summaries", version: 1 };
const LINES: TableName = TableName { projection: SUMMARIES, table: "lines" };

/// SQLite answers the same for a full disk and for a file at its limit of pages.
fn limit_pages(store: &SqliteReadStore, pages: u32) {
    let writer = store.lend_writer().unwrap();
    writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
}

fn fill(store: &SqliteReadStore, epoch: Epoch, heed_errors: bool) -> Result<(), ReadError> {
    store.write(SUMMARIES, epoch, &[], &mut |tx| {
        for number in 0..100 {
            let result = tx.put(LINES, &Key::new().number(number), vec![b'1'; 2_000]);
            if heed_errors {
                result?;
            }
        }
        Ok(())
    })
}

fn count(store: &SqliteReadStore) -> usize {
    let mut count = 0;
    store
        .read(&mut |read| {
            count = read.scan(LINES, &KeyRange::all(), usize::MAX)?.len();
            Ok(())
        })
        .unwrap();
    count
}

#[test]
fn on_a_full_disk_nothing_is_half_written_and_it_recovers_when_space_returns() {
    // Writes that reach SQLite at the commit, one by one, or one by one with `work` ignoring that they fail.
    for (buffer_bytes_max, heed_errors) in [(1 << 20, true), (0, true), (0, false)] {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteOptions::default().buffer_bytes_max(buffer_bytes_max);
        let store = SqliteReadStore::open(dir.path().join("read.db"), options).unwrap();
        let epoch = store.claim(SUMMARIES).unwrap();
        limit_pages(&store, 20);
        for _ in 0..2 {
            let result = fill(&store, epoch, heed_errors);
            assert!(matches!(result, Err(ReadError::Unavailable(_))), "{result:?}");
            assert_eq!(count(&store), 0);
        }
        limit_pages(&store, 10_000);
        fill(&store, epoch, heed_errors).unwrap();
        assert_eq!(count(&store), 100);
    }
}

#[test]
fn what_is_written_beside_the_live_generation_is_told_apart_by_its_role() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteReadStore::open(dir.path().join("read.db"), SqliteOptions::default()).unwrap();
    let is_beside = |generation| {
        let place = Place { projection: SUMMARIES, generation };
        checkpoints::owner(&store.lend_writer().unwrap(), place).unwrap().1
    };
    let from = store.claim(SUMMARIES).unwrap();
    let next = store.begin(SUMMARIES, Role::Filling).unwrap();
    let to = store.view(SUMMARIES, next).claim(SUMMARIES).unwrap();
    assert_eq!([Generation::FIRST, next].map(is_beside), [false, true]);
    let claimed = |generation, epoch| Claimed { generation, epoch };
    store.switch(SUMMARIES, claimed(Generation::FIRST, from), claimed(next, to)).unwrap();
    assert_eq!([Generation::FIRST, next].map(is_beside), [true, false], "whichever view is written through");
}
