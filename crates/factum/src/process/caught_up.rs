//! That something has been done once, for whoever waits for it.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the processes have heard everything that was there to be heard when they started; once so, always so.
#[derive(Clone, Debug)]
pub(crate) struct CaughtUp(Arc<watch::Sender<bool>>);

impl CaughtUp {
    /// Not yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until they have.
    pub(crate) async fn wait(&self) {
        // The sender lives in `self`: the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|set| *set).await;
    }
}
