//! What projections and queries get hold of.

use std::time::{Duration, Instant};

use factum::read::{
    Generation, Key, KeyRange, ReadError, ReadSnapshot, ReadTransaction, SCAN_ROWS_MAX, TableName, WriteBuffer,
};
use rusqlite::Connection;

use crate::{
    error::read_error,
    generations::{Place, Resolved},
    tables::{self, Catalog},
};

/// A transaction that is under way on a connection. Dropped without [`Begun::commit`], by an error or a panic, it is
/// rolled back.
pub(crate) struct Begun<'a>(&'a Connection);

impl<'a> Begun<'a> {
    /// Begins one that takes the file's write lock at once.
    pub(crate) fn to_write(connection: &'a Connection) -> Result<Self, ReadError> {
        Self::begin(connection, "BEGIN IMMEDIATE")
    }

    /// Begins one that sees the file as it is at its first read, whatever is committed meanwhile.
    pub(crate) fn to_read(connection: &'a Connection) -> Result<Self, ReadError> {
        Self::begin(connection, "BEGIN DEFERRED")
    }

    fn begin(connection: &'a Connection, sql: &str) -> Result<Self, ReadError> {
        run(connection, sql).map(|()| Self(connection)).map_err(|error| read_error("the file", error))
    }

    /// Makes its writes durable and visible.
    pub(crate) fn commit(self) -> Result<(), ReadError> {
        run(self.0, "COMMIT").map_err(|error| read_error("the file", error))
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        // After some errors SQLite has rolled back by itself. Where this fails, the pool closes the connection.
        if !self.0.is_autocommit() {
            let _ = run(self.0, "ROLLBACK");
        }
    }
}

/// Runs a statement that is prepared once for each connection: preparing takes longer than reading one document.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(()).map(|_| ())
}

/// The view of a connection inside a read transaction.
pub(crate) struct Snapshot<'a> {
    connection: &'a Connection,
    catalog: &'a Catalog,
    resolved: Resolved,
    begun: Instant,
    timeout: Duration,
}

/// The query must let go of its snapshot.
#[derive(Debug, thiserror::Error)]
#[error("a query took longer than {timeout:?}")]
struct TookTooLong {
    timeout: Duration,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(connection: &'a Connection, catalog: &'a Catalog, resolved: Resolved, timeout: Duration) -> Self {
        Self { connection, catalog, resolved, begun: Instant::now(), timeout }
    }

    fn in_time(&self) -> Result<(), ReadError> {
        let timeout = self.timeout;
        if self.begun.elapsed() > timeout {
            return Err(ReadError::Unavailable(TookTooLong { timeout }.into()));
        }
        Ok(())
    }
}

impl ReadSnapshot for Snapshot<'_> {
    fn get(&mut self, table: TableName, key: &Key) -> Result<Option<Vec<u8>>, ReadError> {
        self.in_time()?;
        let table = self.resolved.table(self.connection, table)?;
        tables::get(self.catalog, self.connection, table, key)
    }

    fn scan(&mut self, table: TableName, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
        self.in_time()?;
        let table = self.resolved.table(self.connection, table)?;
        tables::scan(self.catalog, self.connection, table, range, limit.min(SCAN_ROWS_MAX), |rows| rows.collect())
    }
}

/// The view of the connection inside a write transaction, with the writes that SQLite has not seen yet.
pub(crate) struct Transaction<'a> {
    connection: &'a Connection,
    catalog: &'a Catalog,
    /// The projection's own generation.
    generation: Generation,
    resolved: Resolved,
    buffer: WriteBuffer,
    buffer_bytes_max: usize,
    /// A write did not reach SQLite. Also where `work` ignores that error, nothing must be committed.
    failed: bool,
}

/// The transaction cannot be committed any more.
#[derive(Debug, thiserror::Error)]
#[error("an earlier statement of this transaction failed")]
struct Failed;

impl<'a> Transaction<'a> {
    pub(crate) fn new(connection: &'a Connection, catalog: &'a Catalog, place: Place, buffer_bytes_max: usize) -> Self {
        let Place { projection, generation } = place;
        let (resolved, buffer) = (Resolved::pinned(Some(place)), WriteBuffer::new(projection));
        Self { connection, catalog, generation, resolved, buffer, buffer_bytes_max, failed: false }
    }

    /// Hands all writes to SQLite.
    pub(crate) fn flush(&mut self) -> Result<(), ReadError> {
        // After some errors, such as a full disk, SQLite rolls back by itself: what came now would stand alone.
        if self.failed || self.connection.is_autocommit() {
            return Err(ReadError::Unavailable(Failed.into()));
        }
        self.failed = true;
        // Only tables of its own are in the buffer.
        let generation = self.generation;
        self.buffer
            .take()
            .try_for_each(|(table, rows)| tables::flush(self.catalog, self.connection, (table, generation), &rows))?;
        self.failed = false;
        Ok(())
    }

    fn flush_when_full(&mut self) -> Result<(), ReadError> {
        if self.buffer.bytes() > self.buffer_bytes_max { self.flush() } else { Ok(()) }
    }
}

impl ReadSnapshot for Transaction<'_> {
    fn get(&mut self, table: TableName, key: &Key) -> Result<Option<Vec<u8>>, ReadError> {
        match self.buffer.get(table, key) {
            Some(buffered) => Ok(buffered.clone()),
            None => {
                let table = self.resolved.table(self.connection, table)?;
                tables::get(self.catalog, self.connection, table, key)
            }
        }
    }

    fn scan(&mut self, table: TableName, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
        // SQLite yields rows as they are asked for: no limit is needed there, and none is known, as buffered deletes
        // take rows away.
        let stored = self.resolved.table(self.connection, table)?;
        tables::scan(self.catalog, self.connection, stored, range, usize::MAX, |rows| {
            self.buffer.scan(table, range, limit, rows)
        })
    }
}

impl ReadTransaction for Transaction<'_> {
    fn put(&mut self, table: TableName, key: &Key, document: Vec<u8>) -> Result<(), ReadError> {
        self.buffer.put(table, key, document)?;
        self.flush_when_full()
    }

    fn delete(&mut self, table: TableName, key: &Key) -> Result<(), ReadError> {
        self.buffer.delete(table, key)?;
        self.flush_when_full()
    }
}
