//! The contract suite of read stores.

mod checkpoints;
mod documents;
mod generations;
mod isolation;
mod transactions;

use super::case::{ok, run_all};
use crate::{
    model::ProjectionKey,
    read::{Epoch, Key, KeyRange, ReadSnapshot, ReadStore, ReadTransaction, TableName},
};

type Case = (&'static str, fn(&dyn ReadStore));

const CASES: &[&[Case]] = &[documents::CASES, transactions::CASES, isolation::CASES, checkpoints::CASES];

/// Puts a read store to the test: everything a projection, a query and the loops around them rely on. `make` gives a
/// new, empty store each time.
///
/// ```
/// use factum::{read::MemoryReadStore, testing};
/// testing::read_store_suite(&|| Box::new(MemoryReadStore::new()));
/// ```
///
/// # Panics
/// The store breaks the contract: names every case that failed.
pub fn read_store_suite(make: &dyn Fn() -> Box<dyn ReadStore>) {
    let cases = CASES.iter().copied().flatten();
    run_all("read store", cases.map(|(name, case)| (*name, Box::new(move || case(&*make())) as Box<dyn FnOnce()>)));
}

/// Puts to the test what a read store that outlives its process must keep. `open` opens the same store each time,
/// which is empty the first time; the one before was dropped by then.
///
/// ```
/// use factum::{read::MemoryReadStore, testing};
/// let store = MemoryReadStore::new();
/// testing::read_store_reopening_suite(&|| Box::new(store.clone()));
/// ```
///
/// # Panics
/// The store breaks the contract: names every case that failed.
pub fn read_store_reopening_suite(open: &dyn Fn() -> Box<dyn ReadStore>) {
    let case: Box<dyn FnOnce()> = Box::new(|| checkpoints::everything_committed_survives_reopening(open));
    run_all("read store", [("everything_committed_survives_reopening", case)]);
}

/// Puts to the test a read store that holds [generations](crate::read::Generations): everything that rebuilding a
/// read model beside the one that answers relies on. `make` gives a new, empty store each time.
///
/// ```
/// use factum::{read::MemoryReadStore, testing};
/// testing::read_generations_suite(&|| Box::new(MemoryReadStore::new()));
/// ```
///
/// # Panics
/// The store breaks the contract: names every case that failed.
pub fn read_generations_suite(make: &dyn Fn() -> Box<dyn ReadStore>) {
    let cases = generations::CASES.iter().copied();
    run_all("generations", cases.map(|(name, case)| (name, Box::new(move || case(&*make())) as Box<dyn FnOnce()>)));
}

/// Puts to the test what a read store that holds generations, and outlives its process, must keep. `open` opens the
/// same store each time, which is empty the first time; the one before was dropped by then.
///
/// # Panics
/// The store breaks the contract: names every case that failed.
pub fn read_generations_reopening_suite(open: &dyn Fn() -> Box<dyn ReadStore>) {
    let case: Box<dyn FnOnce()> = Box::new(|| generations::roles_survive_reopening(open));
    run_all("generations", [("roles_survive_reopening", case)]);
}

/// The projection most cases write to.
const BALANCES: ProjectionKey = ProjectionKey { name: "balances", version: 1 };
const LINES: TableName = TableName { projection: BALANCES, table: "lines" };

/// Rows as text, for comparing.
type Rows = Vec<(String, String)>;

#[track_caller]
fn claimed(store: &dyn ReadStore) -> Epoch {
    ok(store.claim(BALANCES))
}

/// Writes to [`BALANCES`], without checkpoints.
#[track_caller]
fn write(store: &dyn ReadStore, epoch: Epoch, mut work: impl FnMut(&mut dyn ReadTransaction)) {
    ok(store.write(BALANCES, epoch, &[], &mut |tx| {
        work(tx);
        Ok(())
    }));
}

/// What a read of the store gives.
#[track_caller]
fn read<T>(store: &dyn ReadStore, mut work: impl FnMut(&mut dyn ReadSnapshot) -> T) -> T {
    let mut value = None;
    ok(store.read(&mut |snapshot| {
        value = Some(work(snapshot));
        Ok(())
    }));
    match value {
        Some(value) => value,
        None => panic!("`read` answered without running its work"),
    }
}

#[track_caller]
fn put(tx: &mut dyn ReadTransaction, key: &str, document: &str) {
    ok(tx.put(LINES, &key.into(), document.as_bytes().to_vec()));
}

#[track_caller]
fn delete(tx: &mut dyn ReadTransaction, key: &str) {
    ok(tx.delete(LINES, &key.into()));
}

#[track_caller]
fn get(snapshot: &mut dyn ReadSnapshot, key: &str) -> Option<String> {
    ok(snapshot.get(LINES, &key.into())).map(text)
}

/// All rows of a table; keys must be text.
#[track_caller]
fn rows(snapshot: &mut dyn ReadSnapshot, table: TableName) -> Rows {
    scan(snapshot, table, &KeyRange::all(), usize::MAX)
}

#[track_caller]
fn scan(snapshot: &mut dyn ReadSnapshot, table: TableName, range: &KeyRange, limit: usize) -> Rows {
    let rows = ok(snapshot.scan(table, range, limit));
    rows.into_iter().map(|(key, document)| (key_text(&key), text(document))).collect()
}

/// What [`rows`] gives for these.
fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Rows {
    pairs.map(|(key, document)| (key.to_owned(), document.to_owned())).into()
}

fn key_text(key: &Key) -> String {
    let bytes = key.as_bytes();
    String::from_utf8_lossy(bytes.strip_suffix(&[0, 0]).unwrap_or(bytes)).into_owned()
}

#[track_caller]
fn text(document: Vec<u8>) -> String {
    ok(String::from_utf8(document))
}
