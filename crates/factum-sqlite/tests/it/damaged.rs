//! A damaged file is put aside and an empty one begun in its place, by itself, while it is open too.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use factum::read::{ReadError, ReadStore};
use factum_sqlite::{OpenError, SqliteOptions, SqliteReadStore};
use rusqlite::Connection;

use crate::{SUMMARIES, put, rows};

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_no_database_is_put_aside_and_the_last_three_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    for round in 1..=5 {
        fs::write(&path, format!("garbage {round}")).unwrap();
        let store = SqliteReadStore::open_or_start_over(&path, SqliteOptions::default()).unwrap();
        let epoch = store.claim(SUMMARIES).unwrap();
        assert_eq!(rows(&store).unwrap(), []);
        put(&store, epoch, "a", "1").unwrap();
        store.close().unwrap();
    }
    let expected = ["", ".damaged-3", ".damaged-4", ".damaged-5"];
    assert_eq!(files(dir.path()), expected.map(|suffix| format!("read.db{suffix}")));
    assert_eq!(fs::read_to_string(dir.path().join("read.db.damaged-4")).unwrap(), "garbage 4");
}

#[test]
fn a_newer_format_and_a_file_out_of_reach_are_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    SqliteReadStore::open(&path, SqliteOptions::default()).unwrap().close().unwrap();
    Connection::open(&path).unwrap().execute("UPDATE factum_meta SET value = '99'", []).unwrap();
    let before = fs::read(&path).unwrap();
    let error = SqliteReadStore::open_or_start_over(&path, SqliteOptions::default()).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_file(&path).unwrap();
    // A folder in the file's place cannot be opened, whoever asks; a mode stops only who may not do everything.
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).unwrap();
    let error = SqliteReadStore::open_or_start_over(&path, SqliteOptions::default()).unwrap_err();
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
    assert_eq!(files(dir.path()), ["read.db"]);
}

#[test]
fn a_store_that_is_open_starts_over_once_for_all_who_saw_the_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteReadStore::open(dir.path().join("read.db"), SqliteOptions::default()).unwrap();
    let epoch = store.claim(SUMMARIES).unwrap();
    put(&store, epoch, "a", "1").unwrap();
    let shell = Connection::open(dir.path().join("read.db")).unwrap();
    shell.execute("DROP TABLE factum_epochs", []).unwrap();
    drop(shell);
    let damage = put(&store, epoch, "b", "1").unwrap_err();
    assert!(matches!(damage, ReadError::Damaged { .. }), "{damage:?}");
    for _ in 0..3 {
        store.start_over(0, &damage).unwrap();
        assert_eq!(store.life(), 1);
    }
    assert_eq!(rows(&store).unwrap(), []);
    assert!(matches!(put(&store, epoch, "b", "1"), Err(ReadError::Fenced { .. })), "what it knew is of another life");
    let epoch = store.claim(SUMMARIES).unwrap();
    put(&store, epoch, "b", "1").unwrap();
    assert_eq!(rows(&store).unwrap().len(), 1);
    store.close().unwrap();
    assert_eq!(files(dir.path()), ["read.db", "read.db.damaged-1"]);
}

#[test]
fn damage_that_comes_back_is_not_mended_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteReadStore::open(dir.path().join("read.db"), SqliteOptions::default()).unwrap();
    let damage = ReadError::Damaged { place: "lines".to_owned(), source: "again".into() };
    for life in 0..3 {
        store.start_over(life, &damage).unwrap();
    }
    let refused = store.start_over(3, &damage).unwrap_err();
    assert!(refused.to_string().contains("3 times already"), "{refused}");
}

#[test]
fn whoever_holds_a_snapshot_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().wait_timeout(std::time::Duration::from_millis(20));
    let store = SqliteReadStore::open(dir.path().join("read.db"), options).unwrap();
    let damage = ReadError::Damaged { place: "lines".to_owned(), source: "seen".into() };
    store
        .read(&mut |_| {
            let result = store.start_over(0, &damage);
            assert!(matches!(result, Err(ReadError::Unavailable(_))), "{result:?}");
            Ok(())
        })
        .unwrap();
    assert_eq!(store.life(), 0);
    store.start_over(0, &damage).unwrap();
    assert_eq!(rows(&store).unwrap(), []);
}

/// A file of format 1 had one generation of each projection, without saying so.
#[test]
fn a_file_of_format_1_is_taken_over_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE factum_meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
         CREATE TABLE factum_epochs (projection TEXT NOT NULL, version INTEGER NOT NULL, epoch INTEGER NOT NULL,
             PRIMARY KEY (projection, version)) STRICT, WITHOUT ROWID;
         CREATE TABLE factum_checkpoints (projection TEXT NOT NULL, version INTEGER NOT NULL, lane TEXT NOT NULL,
             checkpoint TEXT NOT NULL, PRIMARY KEY (projection, version, lane)) STRICT, WITHOUT ROWID;
         INSERT INTO factum_meta VALUES ('format', '1');
         INSERT INTO factum_epochs VALUES ('account-summaries', 1, 4);
         INSERT INTO factum_checkpoints VALUES ('account-summaries', 1, 'own',
             '{\"position\":12,\"incarnation\":\"00000000-0000-0000-0000-000000000001\",\"event_id\":null}');
         CREATE TABLE account_summaries_v1__lines (key BLOB NOT NULL PRIMARY KEY, document TEXT NOT NULL)
             STRICT, WITHOUT ROWID;
         INSERT INTO account_summaries_v1__lines VALUES (x'610000', '1');",
    )
    .unwrap();
    drop(old);
    let store = SqliteReadStore::open(&path, SqliteOptions::default()).unwrap();
    assert_eq!(rows(&store).unwrap().len(), 1);
    assert_eq!(store.checkpoints(SUMMARIES).unwrap()[0].1.position.get(), 12);
    let models = store.generations().unwrap().models().unwrap();
    assert_eq!(models.iter().map(ToString::to_string).collect::<Vec<_>>(), ["account-summaries@1 generation 1 (live)"]);
    assert_eq!(store.claim(SUMMARIES).unwrap().0, 5);
}
