//! An embedded event store from a cold copy of its folder.

use std::{io, path::Path};

use uuid::Uuid;

use crate::{
    model::{Incarnation, StoreId},
    store::{EngineOptions, EngineStore, Fork, RestoreError},
};

/// What a restore made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The store; the copy's.
    pub store: StoreId,
    /// The history that was begun.
    pub incarnation: Incarnation,
    /// Where it left the copy's history: at the copy's last position.
    pub fork: Fork,
    /// How many records of progress (of relays, reactors and process managers) were taken over.
    pub progress_records: usize,
    /// Bytes of an append that a crash had interrupted and that was acknowledged to nobody: they stay in the copy.
    pub torn_bytes: u64,
}

impl EngineStore {
    /// Makes a store of a cold copy of one, in an empty or absent directory. A copy is cold when no process had the
    /// store open while it was made, after a clean end or a crash; it is only read. Blocks: all of it is read twice
    /// and checked.
    ///
    /// The store begins a new history that forks from the copy's at its end. Whoever read further in the lost one
    /// (a read model of another service, say) stops and says so, and is rebuilt. Interrupted, the directory is
    /// refused when it is opened, until it is restored into again.
    ///
    /// ```
    /// use factum::store::{EngineOptions, EngineStore, EventStore};
    /// # let dir = tempfile::tempdir()?;
    /// # let (copy, directory) = (dir.path().join("copy"), dir.path().join("store"));
    /// # drop(EngineStore::open(&copy, EngineOptions::default())?);
    /// let restored = EngineStore::restore(&copy, &directory, &EngineOptions::default())?;
    /// let store = EngineStore::open(&directory, EngineOptions::default())?;
    /// assert_eq!(store.identity().incarnation, restored.incarnation);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The copy is open, damaged, of a newer format or no store; the directory is not empty; a disk failed.
    pub fn restore(copy: &Path, directory: &Path, options: &EngineOptions) -> Result<Restored, RestoreError> {
        let report = factum_engine::restore(copy, directory, options)?;
        let incarnation = |bytes| Incarnation::from_uuid(Uuid::from_bytes(bytes));
        Ok(Restored {
            store: StoreId::from_uuid(Uuid::from_bytes(report.store)),
            incarnation: incarnation(report.incarnation),
            fork: Fork { parent: incarnation(report.fork.parent), position: report.fork.position },
            progress_records: report.progress_records,
            torn_bytes: report.left_behind.map_or(0, |left| left.bytes),
        })
    }

    /// Whether a [restore](EngineStore::restore) into a directory can begin: it is absent or empty, or an earlier restore
    /// into it was not finished.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn is_restorable(directory: &Path) -> io::Result<bool> {
        factum_engine::is_restorable(directory)
    }
}
