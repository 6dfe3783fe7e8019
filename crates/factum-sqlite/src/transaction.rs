//! What projections and queries get hold of.

use factum::{
    ProjectionKey,
    read::{Key, KeyRange, ReadError, ReadSnapshot, ReadTransaction, SCAN_ROWS_MAX, TableName, WriteBuffer},
};
use rusqlite::Connection;

use crate::tables;

/// The view of a connection inside a read transaction.
pub(crate) struct Snapshot<'a>(pub(crate) &'a Connection);

impl ReadSnapshot for Snapshot<'_> {
    fn get(&mut self, table: TableName, key: &Key) -> Result<Option<Vec<u8>>, ReadError> {
        tables::get(self.0, table, key)
    }

    fn scan(&mut self, table: TableName, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
        tables::scan(self.0, table, range, limit.min(SCAN_ROWS_MAX), |rows| rows.collect())
    }
}

/// The view of the connection inside a write transaction, with the writes that SQLite has not seen yet.
pub(crate) struct Transaction<'a> {
    connection: &'a Connection,
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
    pub(crate) const fn new(connection: &'a Connection, projection: ProjectionKey, buffer_bytes_max: usize) -> Self {
        Self { connection, buffer: WriteBuffer::new(projection), buffer_bytes_max, failed: false }
    }

    /// Hands all writes to SQLite.
    pub(crate) fn flush(&mut self) -> Result<(), ReadError> {
        // After some errors, such as a full disk, SQLite rolls back by itself: what came now would stand alone.
        if self.failed || self.connection.is_autocommit() {
            return Err(ReadError::Unavailable(Failed.into()));
        }
        self.failed = true;
        self.buffer.take().try_for_each(|(table, rows)| tables::flush(self.connection, table, &rows))?;
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
            None => tables::get(self.connection, table, key),
        }
    }

    fn scan(&mut self, table: TableName, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
        // SQLite yields rows as they are asked for: no limit is needed there, and none is known, as buffered deletes
        // take rows away.
        tables::scan(self.connection, table, range, usize::MAX, |rows| self.buffer.scan(table, range, limit, rows))
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
