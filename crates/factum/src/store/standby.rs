//! A process that waits for another's place.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use factum_engine::{LOCK_FILE, OpenError};

use super::{EngineOptions, EngineStore};
use crate::runtime::Runtime;

/// How often a standby looks whether what it waits for is free: it takes over within two looks, and the time of opening.
pub const STANDBY_LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why a standby did not take over.
#[derive(Debug, thiserror::Error)]
pub enum StandbyError {
    /// The store cannot be opened, for another reason than that a process has it open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was deleted while another process had it open, and this one waited for that: what that one goes on with is not
    /// there any more.
    #[error("{directory} was deleted while this process waited for it: stop who still has it open, and start again")]
    Deleted {
        /// Where it was.
        directory: PathBuf,
    },
}

impl EngineStore {
    /// Opens the store as [`EngineStore::open`] does, once no other process has it open. `waits` is called when it has to
    /// wait, once. The system lets go of what a process held when that ends, however it ends; one that is only stopped
    /// (SIGSTOP) keeps it.
    ///
    /// May be dropped while it waits: then nothing was opened.
    ///
    /// # Errors
    /// See [`StandbyError`].
    ///
    /// ```
    /// use factum::store::{EngineOptions, EngineStore};
    /// # let dir = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let waits = || println!("stands by for {}", dir.path().display());
    /// let store = EngineStore::open_when_free(dir.path(), EngineOptions::default(), waits).await?;
    /// # drop(store);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn open_when_free(
        directory: impl AsRef<Path>,
        options: EngineOptions,
        waits: impl FnOnce(),
    ) -> Result<Self, StandbyError> {
        let directory = directory.as_ref();
        let open = || match Self::open(directory, options.clone()) {
            Err(OpenError::Locked) => None,
            opened => Some(opened),
        };
        match when_free(directory, &Runtime::tokio(), open, waits).await {
            Some(opened) => Ok(opened?),
            None => Err(StandbyError::Deleted { directory: directory.to_owned() }),
        }
    }
}

/// What `open` makes of a directory once that is free: until then it says nothing. `None`: the directory was deleted
/// while another process had it open.
pub(crate) async fn when_free<T>(
    directory: &Path,
    runtime: &Runtime,
    open: impl Fn() -> Option<T>,
    waits: impl FnOnce(),
) -> Option<T> {
    if let Some(opened) = open() {
        return Some(opened);
    }
    waits();
    loop {
        runtime.sleep(STANDBY_LOOK_EVERY).await;
        if !directory.join(LOCK_FILE).exists() {
            return None;
        }
        if let Some(opened) = open() {
            // Whoever ended may still be letting go of the rest: sockets, other folders.
            runtime.sleep(STANDBY_LOOK_EVERY).await;
            return Some(opened);
        }
    }
}
