//! The read store.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use factum::{
    ProjectionKey,
    read::{Checkpoint, CheckpointMove, Epoch, Generations, Lane, ReadError, ReadSnapshot, ReadStore, ReadTransaction},
};
use rusqlite::Connection;

use crate::{
    OpenError, SqliteOptions, checkpoints,
    damage::STARTS_OVER_MAX,
    error::read_error,
    generations::{self, Place, Resolved},
    inspection::Inspections,
    log::Log,
    pool::{Lent, Pool},
    schema::{self, WAL_BYTES_MAX},
    tables::Catalog,
    transaction::{Begun, Snapshot, Transaction},
};

/// How long a commit that finds the write-ahead log too long waits for the queries under way.
const LOG_WAIT_MAX: Duration = Duration::from_millis(500);

/// A read store in one SQLite file, in write-ahead mode. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct SqliteReadStore {
    pub(crate) shared: Arc<Shared>,
    /// The generation that is meant instead of the live one.
    pub(crate) view: Option<Place>,
}

pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) options: SqliteOptions,
    /// How often the file was begun anew.
    pub(crate) life: AtomicU64,
    pub(crate) starting_over: Mutex<()>,
    pub(crate) log: Arc<Log>,
    pub(crate) writer: Pool,
    pub(crate) readers: Pool,
    pub(crate) inspections: Inspections,
    catalog: Catalog,
    buffer_bytes_max: usize,
    busy_timeout: Duration,
    query_timeout: Duration,
}

impl SqliteReadStore {
    /// Opens the file, and makes it, and the directory it lies in, where they are missing.
    ///
    /// # Errors
    /// The file is no database, has a newer format, or cannot be opened now.
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let unavailable =
            |source: std::io::Error| OpenError::Unavailable { path: path.to_owned(), source: source.into() };
        // Absolute, because SQLite takes some relative names, such as `:memory:`, for something else than a file.
        let path = std::path::absolute(path).map_err(unavailable)?;
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(unavailable)?;
        }
        let log = Arc::new(Log::of(&path).map_err(unavailable)?);
        let mut first =
            schema::open_writer(&path, &options, &log).map_err(|error| OpenError::new(path.clone(), error))?;
        schema::prepare(&mut first, &path)?;
        let (for_writer, for_readers) =
            ((path.clone(), options.clone(), Arc::clone(&log)), (path.clone(), options.clone()));
        let open_writer = move || schema::open_writer(&for_writer.0, &for_writer.1, &for_writer.2);
        let open_reader = move || schema::open_reader(&for_readers.0, &for_readers.1);
        let writer = Pool::new(Box::new(open_writer), 1, options.wait_timeout);
        let readers = Pool::new(Box::new(open_reader), options.readers_max, options.wait_timeout);
        let inspections = Inspections::new(&path, &options);
        writer.keep(first);
        let SqliteOptions { buffer_bytes_max, busy_timeout, query_timeout, .. } = options.clone();
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                options,
                life: AtomicU64::new(0),
                starting_over: Mutex::new(()),
                log,
                writer,
                readers,
                inspections,
                catalog: Catalog::default(),
                buffer_bytes_max,
                busy_timeout,
                query_timeout,
            }),
            view: None,
        })
    }

    /// Moves everything from the write-ahead log into the file and closes it. Later calls answer
    /// [`ReadError::Unavailable`]. Idempotent.
    ///
    /// # Errors
    /// The log could not be moved: it stays beside the file, and the next open finds everything.
    pub fn close(&self) -> Result<(), ReadError> {
        self.shared.readers.close();
        self.shared.inspections.connections.close();
        let result = match self.shared.writer.lend() {
            Ok(writer) => checkpoint_log(&writer, &self.shared.path),
            // Closed before.
            Err(_) if self.shared.writer.is_closed() => return Ok(()),
            Err(error) => Err(error),
        };
        self.shared.writer.close();
        result
    }

    /// Begins the write-ahead log anew once it is long: as long as somebody always reads, SQLite by itself does not.
    /// Waits for the queries under way, and for none that begins later; not for an inspection, which takes its time.
    pub(crate) fn bound_log(&self, writer: &Connection) {
        let Shared { path, log, busy_timeout, inspections, .. } = &*self.shared;
        if log.file_bytes() <= u64::from(WAL_BYTES_MAX) || inspections.is_under_way() {
            return;
        }
        let begun = writer
            .busy_timeout(LOG_WAIT_MAX)
            .and_then(|()| writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)));
        let restored = writer.busy_timeout(*busy_timeout);
        // What was written is committed all the same; the next transaction tries again.
        if let Err(error) = begun.and(restored) {
            tracing::warn!(path = %path.display(), %error, "the write-ahead log grows");
        }
    }

    fn read_with(
        &self,
        reader: &Connection,
        work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let _transaction = Begun::to_read(reader)?;
        let resolved = Resolved::pinned(self.view);
        work(&mut Snapshot::new(reader, &self.shared.catalog, resolved, self.shared.query_timeout))
    }

    /// The generation of a projection that is meant. Only within a transaction: it may be another one after that.
    fn place(&self, connection: &Connection, projection: ProjectionKey) -> Result<Place, ReadError> {
        Ok(Place { projection, generation: Resolved::pinned(self.view).generation(connection, projection)? })
    }

    pub(crate) fn lend_writer(&self) -> Result<Lent<'_>, ReadError> {
        self.shared.writer.lend()
    }
}

fn checkpoint_log(writer: &Connection, path: &Path) -> Result<(), ReadError> {
    let busy: bool = writer
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| read_error("the write-ahead log", error))?;
    if busy {
        tracing::warn!(path = %path.display(), "another process reads the file: its write-ahead log stays beside it");
    }
    Ok(())
}

impl ReadStore for SqliteReadStore {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        let writer = self.lend_writer()?;
        let transaction = Begun::to_write(&writer)?;
        let place = self.place(&writer, projection)?;
        let epoch = Epoch(checkpoints::epoch(&writer, place)?.0 + 1);
        checkpoints::set_epoch(&writer, place, epoch)?;
        generations::begin_first(&writer, place)?;
        transaction.commit()?;
        Ok(epoch)
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        let reader = self.shared.readers.lend()?;
        let _transaction = Begun::to_read(&reader)?;
        checkpoints::all(&reader, self.place(&reader, projection)?)
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let (writer, log) = (self.lend_writer()?, &self.shared.log);
        // The file's write lock is taken at once: what is compared here still holds at the commit. A transaction that
        // is dropped, by an error or a panic of `work`, is rolled back.
        let transaction = Begun::to_write(&writer)?;
        let place = self.place(&writer, projection)?;
        let (current, beside) = checkpoints::owner(&writer, place)?;
        if current != epoch {
            return Err(ReadError::Fenced { projection: projection.to_string(), epoch: epoch.0, current: current.0 });
        }
        moves.iter().try_for_each(|step| checkpoints::advance(&writer, place, step))?;
        let mut writes = Transaction::new(&writer, &self.shared.catalog, place, self.shared.buffer_bytes_max);
        work(&mut writes)?;
        writes.flush()?;
        log.commits_beside(beside);
        transaction.commit()?;
        self.bound_log(&writer);
        Ok(())
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        let reader = self.shared.readers.lend()?;
        self.read_with(&reader, work)
    }

    fn try_read(
        &self,
        work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>,
    ) -> Result<bool, ReadError> {
        let Some(reader) = self.shared.readers.try_lend()? else { return Ok(false) };
        self.read_with(&reader, work).map(|()| true)
    }

    fn life(&self) -> u64 {
        self.shared.life.load(Ordering::SeqCst)
    }

    fn can_start_over(&self) -> bool {
        self.life() < STARTS_OVER_MAX
    }

    fn start_over(&self, life: u64, damage: &ReadError) -> Result<(), ReadError> {
        self.begin_anew(life, damage)
    }

    fn generations(&self) -> Option<&dyn Generations> {
        Some(self)
    }

    fn close(&self) -> Result<(), ReadError> {
        Self::close(self)
    }
}

impl fmt::Debug for SqliteReadStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteReadStore({})", self.shared.path.display())
    }
}
