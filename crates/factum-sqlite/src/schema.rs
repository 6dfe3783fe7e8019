//! The file itself: how a connection is set up, and which format the file has.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::{OpenError, SqliteOptions, log::Log};

/// The format this program writes, and the newest it reads.
pub(crate) const FORMAT: u64 = 2;

/// After a checkpoint the write-ahead log's file is cut back to this size; beyond it, a checkpoint is forced.
pub(crate) const WAL_BYTES_MAX: u32 = 64 << 20;
/// Pages the writing connection caches, in KiB: a large transaction should fit.
const WRITER_CACHE_KIB: i32 = 32 << 10;
/// Statements each connection keeps prepared: about four for each table.
const STATEMENTS_MAX: usize = 128;

const CREATE_META: &str =
    "CREATE TABLE factum_meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;";

/// A generation without a role was discarded: its epoch stays, so that who still feeds it is fenced.
const CREATE: &str = "
    CREATE TABLE factum_epochs (
        projection TEXT NOT NULL, version INTEGER NOT NULL, generation INTEGER NOT NULL, epoch INTEGER NOT NULL,
        role TEXT,
        PRIMARY KEY (projection, version, generation)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE factum_checkpoints (
        projection TEXT NOT NULL, version INTEGER NOT NULL, generation INTEGER NOT NULL, lane TEXT NOT NULL,
        checkpoint TEXT NOT NULL,
        PRIMARY KEY (projection, version, generation, lane)
    ) STRICT, WITHOUT ROWID;
";

/// From format 1, in which every version of a projection had one generation.
const SET_APART: &str = "
    ALTER TABLE factum_epochs RENAME TO factum_epochs_1;
    ALTER TABLE factum_checkpoints RENAME TO factum_checkpoints_1;
";
const COPY: &str = "
    INSERT INTO factum_epochs SELECT projection, version, 1, epoch, 'live' FROM factum_epochs_1;
    INSERT INTO factum_checkpoints SELECT projection, version, 1, lane, checkpoint FROM factum_checkpoints_1;
    DROP TABLE factum_epochs_1;
    DROP TABLE factum_checkpoints_1;
    UPDATE factum_meta SET value = '2' WHERE name = 'format';
";

/// The connection that writes.
pub(crate) fn open_writer(path: &Path, options: &SqliteOptions, log: &Arc<Log>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = open(path, options, flags)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // Without a sync per commit a power cut takes the last transactions: effects and checkpoints together.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    log.watch(&mut connection)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_MAX, |_| Ok(()))?;
    Ok(connection)
}

/// A connection that can only read.
pub(crate) fn open_reader(path: &Path, options: &SqliteOptions) -> rusqlite::Result<Connection> {
    open(path, options, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// A connection for long looks at the file, which may move the write-ahead log into it afterwards.
pub(crate) fn open_inspector(path: &Path, options: &SqliteOptions) -> rusqlite::Result<Connection> {
    let connection = open(path, options, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update(None, "synchronous", "normal")?;
    Ok(connection)
}

fn open(path: &Path, options: &SqliteOptions, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Makes the tables every read store has, or checks the format of a file that has them.
pub(crate) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::new(path.to_owned(), source);
    // Read before any lock is taken: a file in use by another process can still be checked.
    let found = match format(connection).map_err(failed)? {
        Some(found) => found,
        None => create(connection).map_err(failed)?,
    };
    if found > FORMAT {
        return Err(OpenError::NewerFormat { path: path.to_owned(), found, known: FORMAT });
    }
    if found < FORMAT { upgrade(connection).map_err(failed) } else { Ok(()) }
}

fn upgrade(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if format(&transaction)?.is_some_and(|found| found < FORMAT) {
        [SET_APART, CREATE, COPY].iter().try_for_each(|sql| transaction.execute_batch(sql))?;
    }
    transaction.commit()
}

fn create(connection: &mut Connection) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if let Some(found) = format(&transaction)? {
        return Ok(found);
    }
    transaction.execute_batch(CREATE_META)?;
    transaction.execute_batch(CREATE)?;
    transaction.execute("INSERT INTO factum_meta VALUES ('format', ?1)", [FORMAT.to_string()])?;
    transaction.commit()?;
    Ok(FORMAT)
}

/// The format of the file; `None` where no read store was made in it yet.
fn format(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    let made = connection.table_exists(None, "factum_meta")?;
    if !made {
        return Ok(None);
    }
    let text: Option<String> =
        connection.query_row("SELECT value FROM factum_meta WHERE name = 'format'", [], |row| row.get(0)).optional()?;
    let text = text.unwrap_or_default();
    text.parse()
        .map(Some)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
}
