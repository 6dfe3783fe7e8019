//! A damaged file is put aside, and an empty one begun in its place.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use factum::read::ReadError;

use crate::{OpenError, SqliteOptions, SqliteReadStore, schema};

/// How many damaged files are kept beside the file; the oldest one goes when there is one more.
pub(crate) const DAMAGED_KEPT_MAX: usize = 3;
/// How often a file is begun anew by a store that is open: damage that comes back is nothing that a refill mends.
pub(crate) const STARTS_OVER_MAX: u64 = 3;

/// What SQLite keeps beside a file while it is open.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Why a damaged file stays where it is.
#[derive(Debug, thiserror::Error)]
#[error("{path} is damaged ({damage}) and cannot be put aside: {source}")]
struct CannotPutAside {
    path: PathBuf,
    damage: String,
    source: io::Error,
}

impl SqliteReadStore {
    /// As [`SqliteReadStore::open`], but a file that is no database or is damaged is put aside, as `read.db.damaged-1`
    /// and so on, and an empty one is begun in its place: projections fill it from their sources. Of damaged files
    /// the last three are kept. A file of a newer format is refused.
    ///
    /// # Errors
    /// The file has a newer format, or cannot be opened or put aside now.
    pub fn open_or_start_over(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let damage = match Self::open(path, options.clone()) {
            Err(OpenError::NotADatabase { source, .. }) => source.to_string(),
            opened => return opened,
        };
        put_aside(path, &damage).map_err(|source| OpenError::Unavailable { path: path.to_owned(), source })?;
        Self::open(path, options)
    }

    /// See [`ReadStore::start_over`](factum::read::ReadStore::start_over).
    pub(crate) fn begin_anew(&self, life: u64, damage: &ReadError) -> Result<(), ReadError> {
        let shared = &*self.shared;
        let _one_at_a_time = shared.starting_over.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if shared.life.load(Ordering::SeqCst) != life {
            return Ok(());
        }
        if life >= STARTS_OVER_MAX {
            return Err(ReadError::Broken(format!(
                "{damage}: the read database was begun anew {life} times already, which does not mend it"
            )));
        }
        // A file that is renamed under an open connection would lose its write-ahead log to the next one.
        let _writers = shared.writer.hold_back()?;
        let _readers = shared.readers.hold_back()?;
        let _inspections = shared.inspections.connections.hold_back()?;
        put_aside(&shared.path, &damage.to_string()).map_err(ReadError::Unavailable)?;
        let unavailable = |error: OpenError| ReadError::Unavailable(error.into());
        let mut first = schema::open_writer(&shared.path, &shared.options, &shared.log)
            .map_err(|error| unavailable(OpenError::new(shared.path.clone(), error)))?;
        schema::prepare(&mut first, &shared.path).map_err(unavailable)?;
        shared.writer.keep(first);
        shared.life.store(life + 1, Ordering::SeqCst);
        Ok(())
    }
}

/// Renames a damaged file and what SQLite keeps beside it; nobody has it open.
fn put_aside(path: &Path, damage: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let aside = rename(path).map_err(|source| {
        let damage = damage.to_owned();
        CannotPutAside { path: path.to_owned(), damage, source }
    })?;
    tracing::error!(
        path = %path.display(),
        aside = %aside.display(),
        damage,
        "the read database is damaged: it was put aside, and is filled anew from its sources"
    );
    Ok(())
}

fn rename(path: &Path) -> io::Result<PathBuf> {
    let mut kept = kept(path)?;
    let number = kept.last().map_or(0, |(number, _)| *number) + 1;
    let aside = with_suffix(path, &format!(".damaged-{number}"));
    // The file first: SQLite takes no write-ahead log for one that belongs to an empty file.
    fs::rename(path, &aside)?;
    for suffix in BESIDE {
        match fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    kept.push((number, aside.clone()));
    for (_, oldest) in kept.iter().take(kept.len().saturating_sub(DAMAGED_KEPT_MAX)) {
        for file in [oldest.clone()].into_iter().chain(BESIDE.map(|suffix| with_suffix(oldest, suffix))) {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(aside)
}

/// The damaged files beside a file, by number.
fn kept(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{name}.damaged-");
    let mut kept = Vec::new();
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
        kept.extend(number.map(|number: u64| (number, entry.path())));
    }
    kept.sort();
    Ok(kept)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.to_owned().into();
    name.push(suffix);
    name.into()
}
