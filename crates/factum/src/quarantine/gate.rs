//! What was discarded of one handler, as its loops go by it.
//!
//! A loop holds it open as long as a transaction takes, and a discard is recorded while it is shut: nothing is applied
//! meanwhile. So each read model has the message parked then, or comes to it later and knows; none has just applied it.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::Discards;
use crate::{
    model::EventId,
    store::{BoxFuture, StoreError},
};

/// Of one handler, in all its versions and generations.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<RwLock<Known>>);

/// The discards of a handler, as far as they are known here.
#[derive(Default)]
struct Known {
    discards: Arc<Discards>,
    /// Nothing was recorded here since they were read.
    is_certain: bool,
}

/// What was discarded; no discard is recorded as long as this is there.
pub(crate) struct Held {
    pub(crate) discards: Arc<Discards>,
    _gate: Option<OwnedRwLockReadGuard<Known>>,
}

/// No loop is in a transaction as long as this is there.
pub(super) struct Shut(OwnedRwLockWriteGuard<Known>);

impl Gate {
    /// Holds it open for a transaction.
    pub(super) async fn hold<'a>(
        &self,
        read: impl Fn() -> BoxFuture<'a, Result<Arc<Discards>, StoreError>>,
    ) -> Result<Held, StoreError> {
        let known = Arc::clone(&self.0).read_owned().await;
        if known.is_certain {
            return Ok(Held { discards: Arc::clone(&known.discards), _gate: Some(known) });
        }
        drop(known);
        self.hold_anew(read).await
    }

    /// The same, whatever was known: another process may have recorded something.
    pub(super) async fn hold_anew<'a>(
        &self,
        read: impl Fn() -> BoxFuture<'a, Result<Arc<Discards>, StoreError>>,
    ) -> Result<Held, StoreError> {
        let mut known = Arc::clone(&self.0).write_owned().await;
        *known = Known { discards: read().await?, is_certain: true };
        Ok(Held { discards: Arc::clone(&known.discards), _gate: Some(known.downgrade()) })
    }

    /// Waits until no loop is in a transaction, and lets none begin one.
    pub(super) async fn shut(&self) -> Shut {
        Shut(Arc::clone(&self.0).write_owned().await)
    }
}

impl Held {
    /// Where nobody ever discards anything.
    pub(super) fn nothing() -> Self {
        Self { discards: Arc::default(), _gate: None }
    }
}

impl Shut {
    /// Whether a message is known to be discarded.
    pub(super) fn discards(&self, event: EventId) -> bool {
        self.0.is_certain && self.0.discards.contains(event)
    }

    /// A discard is being recorded: what is known is read again before anything is applied.
    pub(super) fn is_recording(&mut self) {
        self.0.is_certain = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    /// What was recorded although the answer was lost would otherwise be applied by a loop that has not come to it.
    #[tokio::test]
    async fn after_a_recording_nothing_is_applied_until_the_discards_are_read_again() {
        let (gate, reads, event) = (Gate::default(), AtomicUsize::new(0), EventId::from_uuid(Uuid::from_u128(7)));
        let read = || -> BoxFuture<'_, _> {
            // The second time there is one.
            let times = reads.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { Ok(Arc::new(std::iter::repeat_n(event, times).collect::<Discards>())) })
        };
        for _ in 0..2 {
            assert!(!gate.hold(read).await.unwrap().discards.contains(event));
        }
        assert_eq!(reads.load(Ordering::SeqCst), 1, "known");
        let held = gate.hold(read).await.unwrap();
        assert!(gate.shut().now_or_never().is_none(), "a transaction is under way");
        drop(held);
        let mut shut = gate.shut().await;
        shut.is_recording();
        assert!(gate.hold(read).now_or_never().is_none(), "it is being recorded");
        drop(shut);
        assert!(gate.hold(read).await.unwrap().discards.contains(event));
    }
}
