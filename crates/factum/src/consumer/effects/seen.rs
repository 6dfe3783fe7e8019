//! What a loop of effects lets others see.

use std::collections::{BTreeMap, HashMap};

use crate::{
    projections::Awaited,
    read::{Checkpoint, Lane},
};

/// What an [`EffectConsumer`](super::EffectConsumer) has dealt with.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Everything that each partition had when the loop started. Stays so until it ends.
    pub start: bool,
    /// The partitions that stand still, each with why.
    pub(crate) still: BTreeMap<String, String>,
    pub(super) lanes: HashMap<Lane, Checkpoint>,
}

impl Seen {
    pub(crate) const fn lanes(&self) -> &HashMap<Lane, Checkpoint> {
        &self.lanes
    }

    /// Whether a message is dealt with. One beyond a fork is not by who stands still there, however far that is.
    pub fn reached(&self, message: &Awaited) -> bool {
        message.is_dealt_with(&self.lanes)
    }
}
