//! A process that waits for another's place.

use std::{path::Path, time::Duration};

use factum_engine::{LOCK_FILE, OpenError};

use super::{LocalBus, LocalBusError, LocalBusOptions};

/// How often a standby looks whether the folder is free: it takes over within two looks, and the time of opening.
pub const STANDBY_LOOK_EVERY: Duration = Duration::from_millis(100);

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
        let mut waits = Some(waits);
        loop {
            if waits.is_none() && !directory.join(LOCK_FILE).exists() {
                return Err(LocalBusError::Deleted { directory: directory.to_owned() });
            }
            match Self::open(directory, options.clone()) {
                Err(LocalBusError::Open { source: OpenError::Locked, .. }) => {
                    if let Some(waits) = waits.take() {
                        waits();
                    }
                    options.runtime.sleep(STANDBY_LOOK_EVERY).await;
                }
                opened => {
                    if waits.is_none() {
                        // Whoever ended may still be letting go of the rest: sockets, other folders.
                        options.runtime.sleep(STANDBY_LOOK_EVERY).await;
                    }
                    return opened;
                }
            }
        }
    }
}
