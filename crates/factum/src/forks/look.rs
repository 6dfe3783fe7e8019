//! What was dealt with beyond a fork, as far as the topic still has it.

use std::collections::{BTreeSet, HashSet};

use factum_engine::{Position, StreamName};

use super::Standing;
use crate::{
    bus::{Bus, BusError, Envelope, sender_of},
    model::EventId,
    store::Fork,
};

/// How many records of a partition are looked at, from the one at which it stands backwards.
pub const HEARD_LOOKS_MAX: usize = 1_000;
/// How many messages are shown, from the fork on.
pub const HEARD_SHOWN_MAX: usize = 100;

/// The messages beyond a fork that a consumer has dealt with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// At most [`HEARD_SHOWN_MAX`] of them, from the fork on.
    pub messages: Vec<HeardMessage>,
    /// How many the topic still has.
    pub count: u64,
    /// No more than these are there; false where the look ended after [`HEARD_LOOKS_MAX`] records.
    pub all: bool,
    /// The processes whose commands they answered.
    pub processes: BTreeSet<String>,
}

/// A message beyond a fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardMessage {
    /// Its position in the history that was left.
    pub position: Position,
    /// The id of its event, which is gone.
    pub event_id: EventId,
    /// Its name.
    pub name: String,
    /// The stream of its event.
    pub stream: StreamName,
    /// The process whose command it answered, if it did.
    pub process: Option<StreamName>,
}

/// Looks at a partition, from where it stands still backwards to the fork.
pub(super) async fn beyond(bus: &dyn Bus, standing: &Standing) -> Result<Heard, BusError> {
    let (mut found, mut seen, mut below) = (Vec::new(), HashSet::new(), standing.offset);
    let mut all = false;
    for _ in 0..HEARD_LOOKS_MAX {
        let Some(record) = bus.tail(&standing.partition, Some(below)).await? else {
            all = true;
            break;
        };
        below = record.offset;
        let Ok(message) = Envelope::decode(&record.headers, &record.value) else { continue };
        let source = message.origin.source;
        if source.store != standing.left.store || message.says_history_left() {
            continue;
        }
        match Fork::shared_up_to(&standing.history.lineage, source.incarnation) {
            Some(shared) if message.position <= shared => {
                all = true;
                break;
            }
            Some(_) if message.position <= standing.watermark && seen.insert(message.id) => found.push(message),
            // Of the present history, or never dealt with.
            _ => {}
        }
    }
    found.sort_by_key(|message| message.position);
    let process = |message: &Envelope| message.command_id.as_deref().and_then(sender_of).map(|(process, _)| process);
    let processes = found.iter().filter_map(process).map(|process| process.to_string()).collect();
    let count = found.len() as u64;
    let messages = found.into_iter().take(HEARD_SHOWN_MAX).map(|message| HeardMessage {
        process: process(&message),
        position: message.position,
        event_id: message.id,
        name: message.name,
        stream: message.stream,
    });
    Ok(Heard { messages: messages.collect(), count, all, processes })
}
