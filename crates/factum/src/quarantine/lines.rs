//! What is parked by the facts recorded: a fold.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use factum_engine::Position;

use super::{
    ParkedKey,
    facts::{Fact, Failed, Parked, Recorded, Released},
};
use crate::{
    model::{EventId, Timestamp},
    read::Lane,
};

/// What one handler has parked, and what of its messages was discarded.
pub(super) struct Lines {
    handler: Arc<str>,
    pub(super) read_to: Position,
    keys: BTreeMap<String, Line>,
    discarded: HashSet<EventId>,
}

struct Line {
    about: ParkedKey,
    /// By where it is recorded that they were parked: in order.
    slots: BTreeMap<Position, Slot>,
}

struct Slot {
    event_id: EventId,
    name: Box<str>,
    position: u64,
    lane: Lane,
}

impl Lines {
    pub(super) fn new(handler: Arc<str>) -> Self {
        Self { handler, read_to: Position::ZERO, keys: BTreeMap::new(), discarded: HashSet::new() }
    }

    /// Nothing is parked, and nothing was ever discarded.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.discarded.is_empty()
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    pub(super) fn was_discarded(&self, event: EventId) -> bool {
        self.discarded.contains(&event)
    }

    /// Whether a message is parked under a key.
    pub(super) fn has(&self, key: &str, event: EventId) -> bool {
        self.keys.get(key).is_some_and(|line| line.slots.values().any(|slot| slot.event_id == event))
    }

    pub(super) fn about(&self, key: &str) -> Option<&ParkedKey> {
        self.keys.get(key).map(|line| &line.about)
    }

    pub(super) fn abouts(&self) -> impl Iterator<Item = &ParkedKey> + Clone {
        self.keys.values().map(|line| &line.about)
    }

    /// Where the first messages of a key are recorded, in order; of those after a message, where one is named. None: that
    /// one is not among them.
    pub(super) fn places(&self, key: &str, after: Option<EventId>, limit: usize) -> Option<Vec<Position>> {
        let slots = || self.keys.get(key).into_iter().flat_map(|line| &line.slots);
        let behind = match after {
            Some(after) => *slots().find(|(_, slot)| slot.event_id == after)?.0,
            None => Position::ZERO,
        };
        Some(slots().map(|(at, _)| *at).skip_while(|at| *at <= behind).take(limit).collect())
    }

    /// Where the first message of a key is recorded.
    pub(super) fn first_place(&self, key: &str) -> Position {
        let first = self.keys.get(key).and_then(|line| line.slots.first_key_value());
        first.map_or(Position::ZERO, |(place, _)| *place)
    }

    /// The oldest message on each lane, and where the last of all is recorded.
    pub(super) fn outstanding(&self) -> (BTreeMap<Lane, Position>, Position) {
        let (mut oldest, mut last) = (BTreeMap::new(), Position::ZERO);
        for (at, slot) in self.keys.values().flat_map(|line| &line.slots) {
            let first = oldest.entry(slot.lane.clone()).or_insert(Position::new(slot.position));
            *first = (*first).min(Position::new(slot.position));
            last = last.max(*at);
        }
        (oldest, last)
    }

    /// How many messages of a key are parked.
    pub(super) fn count(&self, key: &str) -> u64 {
        self.keys.get(key).map_or(0, |line| line.slots.len() as u64)
    }

    /// True when a key is free again.
    pub(super) fn fold(&mut self, Recorded { position, at, fact }: Recorded) -> bool {
        if *fact.handler() != *self.handler {
            return false;
        }
        match fact {
            Fact::Parked(parked) => self.parked(*parked, position, at),
            Fact::Failed(Failed { key, event_id, reason, .. }) => {
                if let Some(line) = self.keys.get_mut(&key)
                    && line.about.event_id == event_id
                {
                    line.about = line.about.failed_again(&reason, at);
                }
            }
            Fact::Released(Released { key, event_id, .. }) => return self.gone(&key, event_id, at),
            Fact::Discarded(discarded) => {
                self.discarded.insert(discarded.event_id);
                return self.gone(&discarded.key, discarded.event_id, at);
            }
        }
        false
    }

    fn parked(&mut self, Parked { key, reason, message, .. }: Parked, position: Position, at: Timestamp) {
        let slot = Slot {
            event_id: message.event_id,
            name: message.name.as_str().into(),
            position: message.position,
            lane: message.lane(),
        };
        let line = self.keys.entry(key.clone()).or_insert_with(|| {
            let about = ParkedKey {
                key,
                topic: message.topic.as_deref().map(str::to_owned),
                partition: message.partition,
                reason: reason.unwrap_or_default(),
                since: at,
                tried_at: at,
                attempts: 1,
                messages: 0,
                event_id: message.event_id,
                name: message.name,
                position: message.position,
            };
            Line { about, slots: BTreeMap::new() }
        });
        line.slots.insert(position, slot);
        line.about.messages = line.slots.len() as u64;
    }

    fn gone(&mut self, key: &str, event: EventId, at: Timestamp) -> bool {
        let Some(line) = self.keys.get_mut(key) else { return false };
        line.slots.retain(|_, slot| slot.event_id != event);
        let left = line.slots.len() as u64;
        let Some((_, first)) = line.slots.first_key_value() else {
            self.keys.remove(key);
            return true;
        };
        line.about = match line.about.event_id == event {
            true => line.about.behind((first.event_id, &first.name, first.position), left, at),
            false => ParkedKey { messages: left, ..line.about.clone() },
        };
        false
    }
}

impl Fact {
    fn handler(&self) -> &str {
        match self {
            Self::Parked(parked) => &parked.handler,
            Self::Released(released) => &released.handler,
            Self::Failed(failed) => &failed.handler,
            Self::Discarded(discarded) => &discarded.handler,
        }
    }
}
