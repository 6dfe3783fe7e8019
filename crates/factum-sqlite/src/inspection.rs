//! Long looks at whole generations, that hold up neither commits nor queries.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use factum::{
    ProjectionKey,
    read::{Checkpoint, Generation, Inspection, Key, Lane, RESERVED_TABLES, ReadError, SCAN_ROWS_MAX},
};
use rusqlite::Connection;

use crate::{
    SqliteOptions, SqliteReadStore, checkpoints,
    error::read_error,
    generations::Place,
    pool::Pool,
    schema::{self, WAL_BYTES_MAX},
    store::Shared,
    tables,
    transaction::Begun,
};

/// How many there are at a time: each holds a snapshot, which the write-ahead log cannot be begun anew beside.
const INSPECTIONS_MAX: usize = 1;
/// How long one pauses before each page of rows, in times of what the one before took to read and to be worked on.
const PAUSE: u32 = 3;
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The inspections of a file. They have connections of their own, so that queries keep theirs.
pub(crate) struct Inspections {
    pub(crate) connections: Pool,
    under_way: AtomicUsize,
}

impl Inspections {
    pub(crate) fn new(path: &Path, options: &SqliteOptions) -> Self {
        let (for_inspector, limit) = ((path.to_owned(), options.clone()), options.wait_timeout);
        let open = move || schema::open_inspector(&for_inspector.0, &for_inspector.1);
        Self { connections: Pool::new(Box::new(open), INSPECTIONS_MAX, limit), under_way: AtomicUsize::new(0) }
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) > 0
    }

    fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(self)
    }
}

/// One of them, until it is dropped.
struct UnderWay<'a>(&'a Inspections);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The snapshot has grown too old to be held any longer.
#[derive(Debug, thiserror::Error)]
#[error(
    "the write-ahead log has grown to {bytes} bytes while generations were compared, the limit is {limit}: compare them \
     when less is written"
)]
struct TooOld {
    bytes: u64,
    limit: u64,
}

impl SqliteReadStore {
    /// Runs `work` on one snapshot.
    pub(crate) fn look_closely(
        &self,
        work: &mut dyn FnMut(&mut dyn Inspection) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let shared = &*self.shared;
        let connection = shared.inspections.connections.lend()?;
        let _under_way = {
            let writer = self.lend_writer()?;
            // Else one after the other might keep the log from ever being begun anew.
            self.bound_log(&writer);
            // Nobody is about to do so now, and would wait for the snapshot.
            shared.inspections.begin()
        };
        {
            let _transaction = Begun::to_read(&connection)?;
            work(&mut Inspected { connection: &connection, shared, page: None })?;
        }
        if shared.log.file_bytes() > u64::from(WAL_BYTES_MAX) {
            // Beside those who write: the next commit, which begins it anew, finds next to nothing left to move.
            let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            moved.map_err(|error| read_error("the write-ahead log", error))?;
        }
        Ok(())
    }
}

/// The view of a connection inside a read transaction.
struct Inspected<'a> {
    connection: &'a Connection,
    shared: &'a Shared,
    /// When the page before was asked for.
    page: Option<Instant>,
}

impl Inspected<'_> {
    /// Leaves the machine to those who ask, most of the time.
    fn pause(&mut self) {
        if let Some(begun) = self.page {
            thread::sleep(begun.elapsed().saturating_mul(PAUSE).min(PAUSE_MAX));
        }
        self.page = Some(Instant::now());
    }

    fn in_time(&self) -> Result<(), ReadError> {
        let Shared { log, options, inspections, .. } = self.shared;
        let (bytes, limit) = (log.file_bytes(), options.inspection_log_bytes_max);
        if bytes > limit {
            return Err(ReadError::Unavailable(TooOld { bytes, limit }.into()));
        }
        inspections.connections.is_lending()
    }
}

impl Inspection for Inspected<'_> {
    fn checkpoints(
        &mut self,
        projection: ProjectionKey,
        generation: Generation,
    ) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        checkpoints::all(self.connection, Place { projection, generation })
    }

    fn tables(&mut self, projection: ProjectionKey, generation: Generation) -> Result<Vec<String>, ReadError> {
        let names = tables::names(self.connection, projection.name, projection.version, generation);
        let mut names = names.map_err(|error| read_error("sqlite_schema", error))?;
        names.retain(|name| !name.starts_with(RESERVED_TABLES));
        Ok(names)
    }

    fn rows(
        &mut self,
        projection: ProjectionKey,
        generation: Generation,
        table: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
        self.pause();
        self.in_time()?;
        tables::rows_after(self.connection, (projection, generation), table, after, limit.min(SCAN_ROWS_MAX))
    }
}
