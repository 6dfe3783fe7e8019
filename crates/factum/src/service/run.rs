//! A service for as long as its process runs.

use std::{future::Future, io};

use super::{STOP_LIMIT_DEFAULT, Service};

/// Why a service did not run to a clean end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", reasons.join("; "))]
pub struct RunError {
    /// Why it ended although nobody asked it to, where that is so; then what did not stop cleanly.
    pub reasons: Vec<String>,
}

impl Service {
    /// Runs until `asked` is done or a loop fails without which the service is nothing; then stops as
    /// [`Service::stop`] does, within [`STOP_LIMIT_DEFAULT`].
    ///
    /// ```
    /// # use factum::{Service, store::MemoryStore};
    /// # use std::sync::Arc;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let service = Service::builder("example", "nothing").store(Arc::new(MemoryStore::new())).start().await?;
    /// # let stop_asked = || async { Ok(()) };
    /// service.run_until(stop_asked()).await?; // `factum::service::stop_asked`
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// A loop failed, nobody can ask (`asked` failed), or something did not stop cleanly.
    pub async fn run_until(self, asked: impl Future<Output = io::Result<()>>) -> Result<(), RunError> {
        let failed = tokio::select! {
            biased;
            reason = self.failed() => Some(reason),
            asked = asked => asked.err().map(|error| format!("it cannot be asked to stop: {error}")),
        };
        let unclean = self.stop(STOP_LIMIT_DEFAULT).await.err().unwrap_or_default();
        let reasons: Vec<String> = failed.into_iter().chain(unclean).collect();
        if reasons.is_empty() { Ok(()) } else { Err(RunError { reasons }) }
    }
}

/// Waits until the process is asked to stop: by Ctrl-C, or by SIGTERM, as service managers and containers do.
///
/// # Errors
/// The system does not let the process listen to signals.
#[cfg(unix)]
pub async fn stop_asked() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}

/// Waits until the process is asked to stop, by Ctrl-C.
///
/// # Errors
/// The system does not let the process listen to signals.
#[cfg(not(unix))]
pub async fn stop_asked() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
