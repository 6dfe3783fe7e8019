//! Whether a service works, and what its loops are doing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::runtime::{LoopState, Status, StatusReport};

/// What a service shows of itself. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    loops: Vec<Status>,
    started: bool,
    stopping: bool,
    broken: Option<String>,
}

/// Whether a service can be sent requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// It can.
    pub ready: bool,
    /// Why not, in a sentence; empty when it can.
    pub reason: String,
    /// Its loops: relays, projections, consumers.
    pub loops: Vec<(String, StatusReport)>,
}

impl Health {
    /// Adds a loop to what is shown.
    pub fn watch(&self, status: Status) {
        self.lock().loops.push(status);
    }

    /// The service has started all its parts.
    pub fn started(&self) {
        self.lock().started = true;
    }

    /// The service is about to stop: send it nothing new.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// Something broke that only a restart mends: send it nothing new.
    pub fn broken(&self, reason: &str) {
        self.lock().broken.get_or_insert_with(|| reason.to_owned());
    }

    /// Every loop with what it shows now.
    pub fn loops(&self) -> Vec<(String, StatusReport)> {
        self.lock().loops.iter().map(|status| (status.name().to_owned(), status.report())).collect()
    }

    /// Ready: started, not stopping, not broken, every loop past its start and none failed. A loop that is behind or waits after
    /// an error does not make a service unready: what it has can still be served, and its lag is shown.
    pub fn readiness(&self) -> Readiness {
        let loops = self.loops();
        let (started, stopping, broken) = {
            let inner = self.lock();
            (inner.started, inner.stopping, inner.broken.clone())
        };
        let stuck = loops.iter().find(|(_, report)| matches!(report.state, LoopState::Starting | LoopState::Failed));
        let reason = match stuck {
            _ if stopping => "stopping".to_owned(),
            _ if !started => "starting".to_owned(),
            _ if broken.is_some() => broken.unwrap_or_default(),
            Some((name, report)) => format!("{name} is {}", report.state.as_str()),
            None => String::new(),
        };
        Readiness { ready: reason.is_empty(), reason, loops }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
