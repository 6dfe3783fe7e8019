//! The file: readable with SQLite's own tools, checked when opened, never anybody else's.

use std::{fs, os::unix::fs::FileExt};

use factum::{
    ProjectionKey,
    read::{Checkpoint, CheckpointMove, Lane, ReadError, ReadStore, TableName},
    store::Position,
};
use factum_sqlite::{OpenError, SqliteOptions, SqliteReadStore};
use rusqlite::Connection;

use crate::{LINES, SUMMARIES, put, rows};

#[test]
fn read_models_can_be_looked_at_with_plain_sql() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing/directory/read.db");
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    let incarnation = "00000000-0000-0000-0000-000000000001".parse().unwrap();
    let next = Checkpoint { position: Position::new(12), incarnation, event_id: None };
    let step = CheckpointMove { lane: Lane::own_store(), previous: None, next };
    store
        .write(SUMMARIES, epoch, &[step], &mut |tx| tx.put(LINES, &"a".into(), br#"{"balance":"12.50"}"#.to_vec()))
        .unwrap();
    let shell = Connection::open(&path).unwrap();
    let ask = |sql: &str| -> String { shell.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(ask("SELECT document ->> 'balance' FROM account_summaries_v1__lines WHERE key = x'610000'"), "12.50");
    assert_eq!(
        ask("SELECT checkpoint ->> 'position' || ' ' || projection || ' ' || version || ' ' || lane \
             FROM factum_checkpoints"),
        "12 account-summaries 1 own"
    );
    assert_eq!(ask("SELECT epoch || '' FROM factum_epochs WHERE projection = 'account-summaries'"), "1");
    assert_eq!(ask("SELECT value FROM factum_meta WHERE name = 'format'"), "2");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [("short", b"hello".to_vec()), ("long", vec![b'x'; 100_000])] {
        let path = dir.path().join(name);
        fs::write(&path, &content).unwrap();
        let error = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap_err();
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
        assert!(error.to_string().contains("delete it"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    SqliteReadStore::open(&path, SqliteOptions::default()).unwrap().close().unwrap();
    let change = |value: &str| {
        Connection::open(&path).unwrap().execute("UPDATE factum_meta SET value = ?1", [value]).unwrap();
        SqliteReadStore::open(&path, SqliteOptions::default()).unwrap_err()
    };
    let error = change("3");
    assert!(matches!(error, OpenError::NewerFormat { found: 3, known: 2, .. }), "{error:?}");
    let error = change("none");
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
}

#[test]
fn a_directory_in_the_files_place_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let error = SqliteReadStore::open(dir.path(), SqliteOptions::default()).unwrap_err();
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
}

#[test]
fn tables_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let theirs = Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE lines (key, document); INSERT INTO lines VALUES (1, 'theirs')").unwrap();
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    put(&store, epoch, "a", "1").unwrap();
    let count: (i64, String) = theirs
        .query_row("SELECT count(*), max(document) FROM lines", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(count, (1, "theirs".to_owned()));
}

#[test]
fn names_that_could_leave_their_quotes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteReadStore::open(dir.path().join("read.db"), SqliteOptions::default()).unwrap();
    let projections = ["", "a\"; DROP TABLE factum_meta; --", "A", "a_b", "a--b", "-a", "a-", "sqlite", "ü"];
    let tables = ["", "a\"", "A", "a b", "a-b", "ü"];
    let names = projections.map(|name| (name, "lines")).into_iter().chain(tables.map(|table| ("a", table)));
    for (name, table) in names {
        let projection = ProjectionKey { name, version: 1 };
        let table = TableName { projection, table };
        let epoch = store.claim(projection).unwrap();
        let result = store.write(projection, epoch, &[], &mut |tx| tx.put(table, &"a".into(), b"1".to_vec()));
        assert!(matches!(result, Err(ReadError::Broken(_))), "{table}: {result:?}");
    }
}

#[test]
fn an_unreadable_checkpoint_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    let sql = "INSERT INTO factum_checkpoints VALUES ('account-summaries', 1, 1, 'own', '{\"position\":')";
    Connection::open(&path).unwrap().execute(sql, []).unwrap();
    let result = store.checkpoints(SUMMARIES);
    assert!(matches!(&result, Err(ReadError::Damaged { place, .. }) if place.contains("own")), "{result:?}");
}

#[test]
fn a_damaged_page_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    for key in 0..200 {
        put(&store, epoch, &key.to_string(), &format!("\"{}\"", "x".repeat(500))).unwrap();
    }
    store.close().unwrap();
    let bytes = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // Everything behind the schema: the first pages hold the tables' definitions and the file's own tables.
    let first = 4_096 * 8;
    file.write_all_at(&vec![0xff; (bytes - first) as usize], first).unwrap();
    file.sync_all().unwrap();
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    let result = rows(&store);
    assert!(matches!(result, Err(ReadError::Damaged { .. })), "{:?}", result.map(|rows| rows.len()));
}

#[test]
fn a_document_another_program_broke_is_found_by_its_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    put(&store, epoch, "a", "1").unwrap();
    assert_eq!(rows(&store).unwrap().len(), 1);
    let shell = Connection::open(&path).unwrap();
    shell.execute("DROP TABLE account_summaries_v1__lines", []).unwrap();
    assert_eq!(rows(&store).unwrap(), [], "a table that is gone is empty, also for a statement prepared before");
    shell.execute("CREATE TABLE account_summaries_v1__lines (key BLOB, document)", []).unwrap();
    shell.execute("INSERT INTO account_summaries_v1__lines VALUES (x'610000', 7)", []).unwrap();
    let result = rows(&store);
    assert!(matches!(result, Err(ReadError::Damaged { .. })), "{result:?}");
}

#[test]
fn closing_moves_the_write_ahead_log_into_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    put(&store, epoch, "a", "1").unwrap();
    assert_eq!(rows(&store).unwrap().len(), 1);
    store.close().unwrap();
    store.close().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the file itself is left");
    assert!(matches!(rows(&store), Err(ReadError::Unavailable(_))));
    assert!(matches!(put(&store, epoch, "a", "2"), Err(ReadError::Unavailable(_))));
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    assert_eq!(rows(&store).unwrap().len(), 1);
}

#[test]
fn a_write_that_failed_is_not_committed_around() {
    for buffer_bytes_max in [0, 1 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("read.db");
        let options = SqliteOptions::default().buffer_bytes_max(buffer_bytes_max);
        let store = SqliteReadStore::open(&path, options).unwrap();
        let epoch = store.claim(SUMMARIES).unwrap();
        Connection::open(&path).unwrap().execute("CREATE TABLE account_summaries_v1__broken (other)", []).unwrap();
        let broken = TableName { table: "broken", ..LINES };
        let result = store.write(SUMMARIES, epoch, &[], &mut |tx| {
            // Work that does not heed the error: what it wrote is incomplete all the same.
            let _ = tx.put(broken, &"a".into(), b"1".to_vec());
            tx.put(LINES, &"a".into(), b"1".to_vec()).or(Ok(()))
        });
        assert!(result.is_err());
        assert_eq!(rows(&store).unwrap(), []);
    }
}
