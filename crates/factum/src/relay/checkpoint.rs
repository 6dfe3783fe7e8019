//! How far a relay is with one topic, kept with the event store.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    end::{RelayHalt, Trouble},
    rewind::Before,
};
use crate::{
    bus::Offset,
    model::{EventId, Incarnation},
    read::Epoch,
    store::{Direction, EventStore, Fork, Identity, Position, Selection, own_progress},
};

/// What is stored under `relay/<topic>`, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RelayCheckpoint {
    /// Everything up to here was considered, filtered events too.
    pub(super) read_to: u64,
    /// The event at `read_to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<EventId>,
    /// The history in which the positions mean something.
    pub(super) incarnation: Incarnation,
    /// Per partition, the position of the last message that was acknowledged.
    pub(super) last_sent: BTreeMap<u32, u64>,
    /// Per partition, the offset of that message: evidence of whether it is still there.
    pub(super) offsets: BTreeMap<u32, u64>,
    /// Partitions on which nothing was sent again yet since a rewind, each with the `previous` of the message that is
    /// next there. What was sent before stays evidence of what the topic has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) rewound: BTreeMap<u32, u64>,
}

impl RelayCheckpoint {
    fn empty(incarnation: Incarnation) -> Self {
        Self {
            read_to: 0,
            event_id: None,
            incarnation,
            last_sent: BTreeMap::new(),
            offsets: BTreeMap::new(),
            rewound: BTreeMap::new(),
        }
    }

    /// Goes back to a position: what comes after it is sent again.
    pub(super) fn rewind(&mut self, to: Position, before: Before) {
        assert!(to.get() <= self.read_to, "a rewind ahead would skip events");
        (self.read_to, self.event_id, self.rewound) = (to.get(), before.event_id, before.last);
    }

    /// Where a partition's next message goes on from.
    pub(super) fn goes_on_from(&self, partition: u32) -> Position {
        self.rewound.get(&partition).map_or_else(|| self.last_sent(partition), |at| Position::new(*at))
    }

    /// The last message of a partition, as this history knows it.
    pub(super) fn last_sent(&self, partition: u32) -> Position {
        Position::new(self.last_sent.get(&partition).copied().unwrap_or_default())
    }

    pub(super) fn offset(&self, partition: u32) -> Option<Offset> {
        self.offsets.get(&partition).copied().map(Offset::new)
    }

    /// The same in the store's present history: what lay beyond a fork was never read or sent here.
    fn carried_over(mut self, identity: &Identity) -> Result<Self, RelayHalt> {
        if self.incarnation == identity.incarnation {
            return Ok(self);
        }
        let position = Position::new(self.read_to);
        let fork =
            Fork::shared_up_to(&identity.forks, self.incarnation).ok_or(RelayHalt::ForeignCheckpoint { position })?;
        if position > fork {
            self.event_id = None;
        }
        self.read_to = self.read_to.min(fork.get());
        for last in self.last_sent.values_mut() {
            *last = (*last).min(fork.get());
        }
        // What was to be sent again from beyond the fork was left with it.
        self.rewound.retain(|_, last| *last <= fork.get());
        self.incarnation = identity.incarnation;
        Ok(self)
    }
}

/// The checkpoint with what its next compare-and-set needs.
pub(super) struct Ledger {
    store: Arc<dyn EventStore>,
    name: String,
    epoch: Epoch,
    stored: Option<Vec<u8>>,
    stored_read_to: u64,
    pub(super) checkpoint: RelayCheckpoint,
}

impl Ledger {
    /// Claims the checkpoint, or, with an epoch claimed before, reads it again. Checks that it belongs to the store.
    pub(super) async fn open(
        store: Arc<dyn EventStore>,
        name: String,
        claimed: &mut Option<Epoch>,
    ) -> Result<Self, Trouble> {
        let progress = own_progress(store.as_ref(), &name, *claimed).await?;
        *claimed = Some(progress.epoch);
        let checkpoint = match &progress.value {
            None => RelayCheckpoint::empty(store.identity().incarnation),
            Some(json) => serde_json::from_slice(json).map_err(RelayHalt::UnreadableCheckpoint)?,
        };
        let checkpoint = checkpoint.carried_over(store.identity())?;
        let stored_read_to = checkpoint.read_to;
        let ledger = Self { store, name, epoch: progress.epoch, stored: progress.value, stored_read_to, checkpoint };
        ledger.check().await?;
        Ok(ledger)
    }

    /// A position beyond the head, or another event at it, is damage: going on would skip events.
    async fn check(&self) -> Result<(), Trouble> {
        let position = Position::new(self.checkpoint.read_to);
        let head = self.store.heads().await?.synced;
        if position > head {
            return Err(RelayHalt::StoreWentBack { published: position, head }.into());
        }
        let Some(expected) = self.checkpoint.event_id else { return Ok(()) };
        let before = Position::new(position.get().saturating_sub(1));
        let batch = self.store.read(&Selection::everything(), before, Direction::Forward, 1).await?;
        match batch.events.first() {
            Some(event) if event.position == position && event.id == expected => Ok(()),
            _ => Err(RelayHalt::ForeignCheckpoint { position }.into()),
        }
    }

    /// How many positions the stored checkpoint is behind this one.
    pub(super) const fn unsaved(&self) -> u64 {
        self.checkpoint.read_to.abs_diff(self.stored_read_to)
    }

    /// Stores the checkpoint, unless somebody else did meanwhile.
    pub(super) async fn save(&mut self) -> Result<(), Trouble> {
        let next = serde_json::to_vec(&self.checkpoint).map_err(RelayHalt::UnreadableCheckpoint)?;
        self.store.advance_progress(&self.name, self.epoch, self.stored.as_deref(), &next).await?;
        self.stored = Some(next);
        self.stored_read_to = self.checkpoint.read_to;
        Ok(())
    }
}
