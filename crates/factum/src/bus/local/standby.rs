//! A process that waits for another's place.

use std::path::Path;

use factum_engine::OpenError;

use super::{LocalBus, LocalBusError, LocalBusOptions};
use crate::store::when_free;

impl LocalBus {
    /// Opens the bus as [`LocalBus::open`] does, once no other process has it open. `waits` is called when it has to
    /// wait, once. The system lets go of what a process held when that ends, however it ends; one that is only stopped
    /// (SIGSTOP) keeps it.
    ///
    /// May be dropped while it waits: then nothing was opened.
    ///
    /// # Errors
    /// See [`LocalBusError`]; [`LocalBusError::Deleted`] when the folder that it waits for is deleted, for what its
    /// holder goes on with is not there any more.
    pub async fn open_when_free(
        directory: impl AsRef<Path>,
        options: LocalBusOptions,
        waits: impl FnOnce(),
    ) -> Result<Self, LocalBusError> {
        let directory = directory.as_ref();
        let open = || match Self::open(directory, options.clone()) {
            Err(LocalBusError::Open { source: OpenError::Locked, .. }) => None,
            opened => Some(opened),
        };
        let opened = when_free(directory, &options.runtime, open, waits).await;
        opened.unwrap_or_else(|| Err(LocalBusError::Deleted { directory: directory.to_owned() }))
    }
}
