//! Tests of the SQLite read store, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod contract;
mod damaged;
mod file;
mod limits;
mod verified;

use factum::{
    ProjectionKey,
    read::{Epoch, Key, KeyRange, ReadError, ReadStore, TableName},
};
use factum_sqlite::SqliteReadStore;

const SUMMARIES: ProjectionKey = ProjectionKey { name: "account-summaries", version: 1 };
const LINES: TableName = TableName { projection: SUMMARIES, table: "lines" };

fn put(store: &SqliteReadStore, epoch: Epoch, key: &str, document: &str) -> Result<(), ReadError> {
    store.write(SUMMARIES, epoch, &[], &mut |tx| tx.put(LINES, &key.into(), document.as_bytes().to_vec()))
}

fn rows(store: &SqliteReadStore) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
    let mut rows = Vec::new();
    store.read(&mut |snapshot| {
        rows = snapshot.scan(LINES, &KeyRange::all(), usize::MAX)?;
        Ok(())
    })?;
    Ok(rows)
}
