//! What a keeper saves of its timers, so that a start need not read the whole store.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pending::{PENDING_TIMERS_MAX, Pending, SavedTimer};
use crate::{
    model::{EventId, Incarnation},
    read::Epoch,
    store::{Direction, EventStore, Fork, Position, ProgressError, Selection, StoreError, own_progress},
};

/// What the progress of a keeper is named with, before the category of its processes.
const PROGRESS_PREFIX: &str = "timers/";
/// How many bytes of timers are saved: far enough below what a progress value may have.
const SAVED_BYTES_MAX: usize = 60 << 10;
const _: () = assert!(SAVED_BYTES_MAX + 1_024 <= factum_engine::PROGRESS_BYTES_MAX);

/// What is stored under `timers/<category>`, as JSON. All of it can be had from the events again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    /// The history in which the positions mean something.
    incarnation: Incarnation,
    /// What happened up to here is considered: timers that were cleared or had fired by then are left out.
    as_of: u64,
    /// The event at `as_of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
    /// Timers set after this position are to be read from the store.
    complete_to: u64,
    /// Those set up to it.
    timers: Vec<SavedTimer>,
}

/// What was saved, with what the next compare-and-set needs.
pub(super) struct Ledger {
    store: Arc<dyn EventStore>,
    name: String,
    pub(super) epoch: Epoch,
    stored: Option<Vec<u8>>,
    /// What is considered in what is stored.
    stored_as_of: Position,
}

impl Ledger {
    /// Claims the timers of a category or, with an epoch claimed before, reads again what is saved; and gives what is
    /// pending by that. What was saved in another history is left aside.
    pub(super) async fn open(
        store: Arc<dyn EventStore>,
        category: &str,
        claimed: Option<Epoch>,
    ) -> Result<(Self, Pending, Position), ProgressError> {
        let name = format!("{PROGRESS_PREFIX}{category}");
        let progress = own_progress(store.as_ref(), &name, claimed).await?;
        let saved = progress.value.as_deref().and_then(|json| serde_json::from_slice::<Saved>(json).ok());
        let mut ledger =
            Self { store, name, epoch: progress.epoch, stored: progress.value, stored_as_of: Position::ZERO };
        let usable = match saved {
            Some(saved) if ledger.fits(&saved).await? => saved.restored(),
            _ => None,
        };
        let (pending, as_of) = usable.unwrap_or_else(|| {
            if ledger.stored.is_some() {
                let name = &ledger.name;
                tracing::info!(name, "saved timers are of another history: reading the store from its beginning");
            }
            (Pending::new(Vec::new(), Position::ZERO, PENDING_TIMERS_MAX), Position::ZERO)
        });
        ledger.stored_as_of = as_of;
        Ok((ledger, pending, as_of))
    }

    /// Whether what was saved is of this history: a timer that was cleared by what a restore took away is pending
    /// again, and is not in what was saved.
    async fn fits(&self, saved: &Saved) -> Result<bool, StoreError> {
        let (identity, as_of) = (self.store.identity(), Position::new(saved.as_of));
        let shared = if saved.incarnation == identity.incarnation {
            Some(self.store.heads().await?.synced)
        } else {
            Fork::shared_up_to(&identity.forks, saved.incarnation)
        };
        if shared.is_none_or(|shared| as_of > shared) {
            return Ok(false);
        }
        let Some(expected) = saved.event_id else { return Ok(true) };
        let before = Position::new(as_of.get().saturating_sub(1));
        let batch = self.store.read(&Selection::everything(), before, Direction::Forward, 1).await?;
        Ok(batch.events.first().is_some_and(|event| event.position == as_of && event.id == expected))
    }

    /// How many positions what is saved is behind.
    pub(super) const fn unsaved(&self, as_of: Position) -> u64 {
        as_of.get().saturating_sub(self.stored_as_of.get())
    }

    /// Saves what is pending, unless somebody else took over.
    pub(super) async fn save(
        &mut self,
        pending: &Pending,
        as_of: Position,
        event_id: Option<EventId>,
    ) -> Result<(), ProgressError> {
        let (timers, complete_to) = pending.oldest(SAVED_BYTES_MAX);
        let saved = Saved {
            incarnation: self.store.identity().incarnation,
            as_of: as_of.get(),
            event_id,
            complete_to: complete_to.get(),
            timers,
        };
        let next = serde_json::to_vec(&saved).expect("ids, numbers and texts are JSON");
        self.store.advance_progress(&self.name, self.epoch, self.stored.as_deref(), &next).await?;
        self.stored = Some(next);
        self.stored_as_of = as_of;
        Ok(())
    }
}

impl Saved {
    /// What is pending by it, and what it considers.
    fn restored(self) -> Option<(Pending, Position)> {
        let timers: Option<Vec<_>> = self.timers.into_iter().map(SavedTimer::timer).collect();
        let pending = Pending::new(timers?, Position::new(self.complete_to), PENDING_TIMERS_MAX);
        Some((pending, Position::new(self.as_of)))
    }
}
