//! How far a reactor is with the events of its own store, kept with that store.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{PROGRESS_PREFIX, ReactorEnd, Since, end::Trouble, open::OPEN_EVENTS_MAX};
use crate::{
    model::{EventId, Incarnation},
    read::Epoch,
    store::{Direction, EventStore, Fork, Position, ProgressError, RecordedEvent, Selection, StoreError, own_progress},
};

/// How many bytes one open position takes in JSON at most.
const OPEN_BYTES: usize = 21;
// The history, positions and ids beside them need far less than this.
const _: () = assert!(OPEN_EVENTS_MAX * OPEN_BYTES + 1_024 <= factum_engine::PROGRESS_BYTES_MAX);

/// What is stored under `reactor/<name>`, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The history in which the positions mean something.
    pub(super) incarnation: Incarnation,
    /// Everything up to here was considered.
    pub(super) read_to: u64,
    /// The event at `read_to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<EventId>,
    /// The positions up to there of events whose effects are not all done, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) open: Vec<u64>,
    /// What is parked: recorded in the store, and so taken away by a restore of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parked: Option<SavedParked>,
}

/// What of the events up to `read_to` is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedParked {
    /// The position of the first of them.
    pub(super) oldest: u64,
    /// The position at which the last was recorded as parked.
    pub(super) recorded_to: u64,
}

/// The progress with what its next compare-and-set needs.
pub(super) struct Ledger {
    store: Arc<dyn EventStore>,
    name: String,
    pub(super) epoch: Epoch,
    stored: Option<Vec<u8>>,
    pub(super) stored_read_to: u64,
}

/// Effects that were done for events which a restore then took away: the positions above the first, up to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orphaned(pub(super) Position, pub(super) Position);

/// Where a reactor goes on.
pub(super) struct Opened {
    pub(super) ledger: Ledger,
    pub(super) saved: Saved,
    pub(super) orphaned: Option<Orphaned>,
}

impl Ledger {
    /// Claims the progress or, with an epoch claimed before, reads it again; checks that it belongs to the store. Where
    /// there is none, that it has begun is written down before anything is done: a reactor that begins now must not
    /// begin later when it is started again.
    pub(super) async fn open(
        store: Arc<dyn EventStore>,
        reactor: &str,
        since: (Since, Option<Position>),
        claimed: &mut Option<Epoch>,
    ) -> Result<Opened, Trouble> {
        let name = format!("{PROGRESS_PREFIX}{reactor}");
        let progress = own_progress(store.as_ref(), &name, *claimed).await?;
        *claimed = Some(progress.epoch);
        let mut ledger = Self { store, name, epoch: progress.epoch, stored: progress.value, stored_read_to: 0 };
        let (saved, orphaned) = match &ledger.stored {
            None => {
                let first = ledger.first(since).await?;
                ledger = ledger.save(first.clone()).await?;
                (first, None)
            }
            Some(json) => {
                let saved: Saved = serde_json::from_slice(json).map_err(|error| ledger.refused(&error))?;
                ledger.carried_over(saved).await?
            }
        };
        ledger.stored_read_to = saved.read_to;
        Ok(Opened { ledger, saved, orphaned })
    }

    async fn first(&self, since: (Since, Option<Position>)) -> Result<Saved, Trouble> {
        let incarnation = self.store.identity().incarnation;
        let head = match since {
            (Since::Beginning, _) => Position::ZERO,
            (Since::Now, Some(now)) => now,
            (Since::Now, None) => self.store.heads().await?.synced,
        };
        let event_id = event_at(self.store.as_ref(), head).await?.map(|event| event.id);
        Ok(Saved { incarnation, read_to: head.get(), event_id, open: Vec::new(), parked: None })
    }

    /// The same in the store's present history. What lies beyond a fork was taken away by a restore: what stands there
    /// now are other events, none of which was reacted to.
    async fn carried_over(&self, mut saved: Saved) -> Result<(Saved, Option<Orphaned>), Trouble> {
        let (identity, position) = (self.store.identity(), Position::new(saved.read_to));
        if saved.incarnation != identity.incarnation {
            let fork = Fork::shared_up_to(&identity.forks, saved.incarnation);
            let fork = fork.ok_or(ReactorEnd::Foreign { position })?;
            saved.incarnation = identity.incarnation;
            // That these were parked is gone: from the first of them on, everything is done again, under the same ids.
            let lost = saved.parked.filter(|parked| parked.recorded_to > fork.get()).map(|parked| parked.oldest - 1);
            let goes_on = fork.get().min(lost.unwrap_or(u64::MAX));
            if goes_on < saved.read_to {
                saved.read_to = goes_on;
                saved.event_id = None;
                saved.open.retain(|open| *open <= goes_on);
                return Ok((saved, (fork < position).then_some(Orphaned(fork, position))));
            }
        }
        let head = self.store.heads().await?.synced;
        if position > head {
            return Err(ReactorEnd::StoreWentBack { position, head }.into());
        }
        let found = event_at(self.store.as_ref(), position).await?;
        if saved.event_id.is_some_and(|expected| found.is_none_or(|found| found.id != expected)) {
            return Err(ReactorEnd::Foreign { position }.into());
        }
        Ok((saved, None))
    }

    /// Stores how far the reactor is, unless somebody else took over.
    pub(super) async fn save(mut self, saved: Saved) -> Result<Self, Trouble> {
        let next = serde_json::to_vec(&saved).map_err(|error| self.refused(&error))?;
        self.store.advance_progress(&self.name, self.epoch, self.stored.as_deref(), &next).await?;
        self.stored = Some(next);
        self.stored_read_to = saved.read_to;
        Ok(self)
    }

    fn refused(&self, error: &serde_json::Error) -> Trouble {
        ReactorEnd::Progress(ProgressError::Refused(format!("`{}`: {error}", self.name))).into()
    }
}

/// The event at a position, if one is there.
pub(super) async fn event_at(store: &dyn EventStore, position: Position) -> Result<Option<RecordedEvent>, StoreError> {
    let Some(before) = position.get().checked_sub(1) else { return Ok(None) };
    let batch = store.read(&Selection::everything(), Position::new(before), Direction::Forward, 1).await?;
    Ok(batch.events.into_iter().next().filter(|event| event.position == position))
}
