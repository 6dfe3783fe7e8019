//! The SQLite read store keeps the contract.

use factum::{read::ReadStore, testing};
use factum_sqlite::{SqliteOptions, SqliteReadStore};

fn suite(options: &SqliteOptions) {
    let dir = tempfile::tempdir().unwrap();
    let made = std::cell::Cell::new(0);
    let make = || -> Box<dyn ReadStore> {
        made.set(made.get() + 1);
        let path = dir.path().join(format!("{}.db", made.get()));
        Box::new(SqliteReadStore::open(path, options.clone()).unwrap())
    };
    testing::read_store_suite(&make);
    testing::read_generations_suite(&make);
}

#[test]
fn the_sqlite_store_keeps_the_contract() {
    suite(&SqliteOptions::default());
}

#[test]
fn it_does_so_when_every_write_goes_to_sqlite_at_once() {
    suite(&SqliteOptions::default().buffer_bytes_max(0));
}

/// A suite on a store that is opened again and again.
type Suite = fn(&dyn Fn() -> Box<dyn ReadStore>);

#[test]
fn everything_is_there_after_a_close_and_after_none() {
    for closed in [true, false] {
        let suites: [Suite; 2] = [testing::read_store_reopening_suite, testing::read_generations_reopening_suite];
        for suite in suites {
            let dir = tempfile::tempdir().unwrap();
            let before = std::cell::RefCell::new(None::<SqliteReadStore>);
            suite(&|| {
                if let Some(before) = before.take() {
                    before.close().unwrap();
                }
                let store = SqliteReadStore::open(dir.path().join("read.db"), SqliteOptions::default()).unwrap();
                before.replace(closed.then(|| store.clone()));
                Box::new(store)
            });
        }
    }
}
