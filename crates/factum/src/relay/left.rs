//! That a history was left, as a message for everybody.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Message, model::MessageType};

/// What may come on every topic of a service besides its own messages.
pub(crate) const EVERYWHERE_MESSAGES: &[MessageType] = &[MessageType::of::<HistoryLeft>()];

/// The store of this service was restored from an older copy: whatever came on this partition before, from a history that
/// `ce_lineage` names and beyond the position it gives for it, was lost and is no longer so. What follows goes on from
/// there. It stands for no event, and comes once on each partition before anything that was recorded since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "factum.history-left.v1")]
pub struct HistoryLeft {}
