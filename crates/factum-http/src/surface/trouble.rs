//! A store in trouble is logged, but not once for each request that meets it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use factum::{service::Health, store::StoreError};

/// How often a store in trouble is logged at most.
const LOGGED_EVERY: Duration = Duration::from_secs(1);

/// When trouble was logged last.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Option<Instant>>);

impl Trouble {
    /// Tells operators: in the log, and in the service's health where only a restart helps.
    pub(super) fn tell(&self, error: &StoreError, health: &Health) {
        if matches!(error, StoreError::ReadOnly(_)) {
            health.broken("the event store is read-only since a write failed: restart the service");
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= LOGGED_EVERY) {
            *last = Some(Instant::now());
            tracing::warn!(%error, "the event store is unavailable");
        }
    }
}
