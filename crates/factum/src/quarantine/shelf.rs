//! Where parked messages lie: two tables of the projection's own generation, and what is known of them in memory.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Incoming, ParkedKey, ParkedMessage,
    parked_key::{no_room_for_key, show},
};
use crate::{
    bus::TopicPartition,
    model::{ProjectionKey, Timestamp},
    read::{Key, KeyRange, Lane, ReadError, ReadSnapshot, ReadTransaction, Table, TableName},
    runtime::Status,
    store::Position,
};

/// How many rows are looked at in one go.
const PAGE_ROWS: usize = 100;

const KEYS: &str = "factum_parked_keys";
const MESSAGES: &str = "factum_parked_messages";

pub(super) fn keys(projection: ProjectionKey) -> Table<ParkedKey> {
    Table::reserved(TableName { projection, table: KEYS })
}

pub(super) fn messages(projection: ProjectionKey) -> Table<ParkedMessage> {
    Table::reserved(TableName { projection, table: MESSAGES })
}

/// The parked keys of a projection in a snapshot, in order, at most `limit`, those after `after`.
///
/// # Errors
/// The read store failed, or what is there cannot be read.
pub fn parked_keys(
    read: &mut (impl ReadSnapshot + ?Sized),
    projection: ProjectionKey,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ParkedKey>, ReadError> {
    let range = after.map_or_else(KeyRange::all, |after| KeyRange::all().after(Key::from(after)));
    Ok(keys(projection).page(read, &range, limit)?.documents)
}

/// The messages of a key, in order: the first `limit`, those after a number.
pub(super) fn messages_of(
    read: &mut (impl ReadSnapshot + ?Sized),
    projection: ProjectionKey,
    key: &str,
    limit: usize,
) -> Result<Vec<ParkedMessage>, ReadError> {
    Ok(messages(projection).page(read, &KeyRange::prefix(&Key::from(key)), limit)?.documents)
}

/// A parked message in memory.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) lane: Lane,
    pub(super) position: Position,
}

pub(super) struct Entry {
    pub(super) about: ParkedKey,
    pub(super) slots: VecDeque<Slot>,
}

/// What is parked of one generation of a projection, as last committed.
pub(crate) struct Shelf {
    pub(super) projection: ProjectionKey,
    pub(super) keys: BTreeMap<String, Entry>,
}

/// What a transaction changes about a shelf, until it is committed.
#[derive(Default)]
pub(crate) struct Draft {
    /// Keys that are parked anew or go on being, as they will be.
    abouts: BTreeMap<String, ParkedKey>,
    parked: Vec<(String, Slot)>,
    /// How many messages are gone from the beginning of a key.
    released: Vec<(String, usize)>,
    /// Keys that are free again.
    freed: Vec<String>,
    /// Messages that were dropped because an operator said so.
    pub(crate) discarded: u64,
}

/// What a commit changed, for whoever waits for messages.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) parked: Vec<(Lane, Position)>,
    pub(crate) released: Vec<(Lane, Position)>,
}

impl Changes {
    pub(crate) const fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.released.is_empty()
    }
}

/// There is no room for another message.
pub(super) enum NoRoom {
    Full(String),
    Read(ReadError),
}

impl Shelf {
    pub(crate) const fn empty(projection: ProjectionKey) -> Self {
        Self { projection, keys: BTreeMap::new() }
    }

    /// Reads what is parked.
    pub(crate) fn load(read: &mut dyn ReadSnapshot, projection: ProjectionKey) -> Result<Self, ReadError> {
        let mut shelf = Self::empty(projection);
        let mut after: Option<String> = None;
        loop {
            let page = parked_keys(read, projection, after.as_deref(), PAGE_ROWS)?;
            let Some(last) = page.last() else { return Ok(shelf) };
            after = Some(last.key.clone());
            for about in page {
                let slots = slots(read, projection, &about.key)?;
                shelf.keys.insert(about.key.clone(), Entry { about, slots });
            }
        }
    }

    /// Every message that is parked, by lane.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Lane, Position)> {
        self.keys.values().flat_map(|entry| &entry.slots).map(|slot| (slot.lane.clone(), slot.position))
    }

    /// Shows what is parked, as an alarm that names the key parked longest.
    pub(crate) fn show(&self, status: &Status) {
        show(status, self.keys.values().map(|entry| &entry.about));
    }

    pub(super) fn holds(&self, draft: &Draft, key: &str) -> bool {
        self.keys.contains_key(key) || draft.abouts.contains_key(key)
    }

    /// Parks a message behind those of its key; with a reason, as the first of it.
    pub(super) fn park(
        &self,
        draft: &mut Draft,
        key: &str,
        message: &Incoming<'_>,
        (reason, now): (Option<&str>, Timestamp),
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), NoRoom> {
        let parked = ParkedMessage::of(message, now);
        let known = draft.abouts.get(key).or_else(|| self.keys.get(key).map(|entry| &entry.about)).cloned();
        let mut about = match known {
            Some(about) => about,
            None => {
                self.has_room(draft, message.partition)?;
                ParkedKey {
                    key: key.to_owned(),
                    topic: message.partition.map(|from| from.topic.to_string()),
                    partition: message.partition.map(|from| from.partition),
                    reason: reason.unwrap_or_default().to_owned(),
                    since: now,
                    tried_at: now,
                    attempts: 1,
                    messages: 0,
                    event_id: parked.event_id,
                    name: parked.name.clone(),
                    position: parked.position,
                }
            }
        };
        if let Some(full) = about.is_full() {
            return Err(NoRoom::Full(full));
        }
        about.messages += 1;
        let number = self.next_number(draft, key);
        messages(self.projection).put(tx, &Key::from(key).number(number), &parked).map_err(no_room)?;
        keys(self.projection).put(tx, &Key::from(key), &about).map_err(no_room)?;
        draft.abouts.insert(key.to_owned(), about);
        let slot = Slot { number, lane: parked.lane(), position: Position::new(parked.position) };
        draft.parked.push((key.to_owned(), slot));
        Ok(())
    }

    fn has_room(&self, draft: &Draft, partition: Option<&TopicPartition>) -> Result<(), NoRoom> {
        let stored = self.keys.values().map(|entry| &entry.about);
        let new = draft.abouts.values().filter(|about| !self.keys.contains_key(&about.key));
        no_room_for_key(stored.chain(new), partition).map_or(Ok(()), |full| Err(NoRoom::Full(full)))
    }

    fn next_number(&self, draft: &Draft, key: &str) -> u64 {
        let drafted = draft.parked.iter().rev().find(|(of, _)| of == key).map(|(_, slot)| slot.number);
        let stored = || self.keys.get(key).and_then(|entry| entry.slots.back()).map(|slot| slot.number);
        drafted.or_else(stored).map_or(1, |number| number + 1)
    }

    /// Takes the first messages of a key away. `next` is how the key is shown from then on, by its then first message;
    /// `None`: nothing is left of it.
    pub(super) fn release(
        &self,
        draft: &mut Draft,
        key: &str,
        count: usize,
        next: Option<ParkedKey>,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), ReadError> {
        let Some(entry) = self.keys.get(key) else { return Ok(()) };
        for slot in entry.slots.iter().take(count) {
            messages(self.projection).delete(tx, &Key::from(key).number(slot.number))?;
        }
        draft.released.push((key.to_owned(), count));
        match next {
            Some(about) => {
                keys(self.projection).put(tx, &Key::from(key), &about)?;
                draft.abouts.insert(key.to_owned(), about);
            }
            None => {
                keys(self.projection).delete(tx, &Key::from(key))?;
                draft.freed.push(key.to_owned());
            }
        }
        Ok(())
    }

    /// The transaction was committed.
    pub(crate) fn committed(&mut self, draft: Draft) -> Changes {
        let mut changes = Changes::default();
        for (key, about) in draft.abouts {
            match self.keys.get_mut(&key) {
                Some(entry) => entry.about = about,
                None => {
                    self.keys.insert(key, Entry { about, slots: VecDeque::new() });
                }
            }
        }
        for (key, slot) in draft.parked {
            changes.parked.push((slot.lane.clone(), slot.position));
            if let Some(entry) = self.keys.get_mut(&key) {
                entry.slots.push_back(slot);
            }
        }
        for (key, count) in draft.released {
            let Some(entry) = self.keys.get_mut(&key) else { continue };
            changes.released.extend(entry.slots.drain(..count).map(|slot| (slot.lane, slot.position)));
        }
        for key in draft.freed {
            self.keys.remove(&key);
        }
        changes
    }
}

fn no_room(error: ReadError) -> NoRoom {
    match error {
        ReadError::TooLarge { actual, .. } => {
            NoRoom::Full(format!("the message is too large to be parked: {actual} bytes"))
        }
        other => NoRoom::Read(other),
    }
}

/// The messages of a key without what is in them.
fn slots(read: &mut dyn ReadSnapshot, projection: ProjectionKey, key: &str) -> Result<VecDeque<Slot>, ReadError> {
    let prefix = Key::from(key);
    let table = messages(projection);
    let mut range = KeyRange::prefix(&prefix);
    let mut slots = VecDeque::new();
    loop {
        let rows = table.rows(read, &range, PAGE_ROWS)?;
        let Some((last, _)) = rows.last() else { return Ok(slots) };
        range = KeyRange::prefix(&prefix).after(last.clone());
        for (row, message) in &rows {
            let number = row.as_bytes().last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            let position = Position::new(message.position);
            slots.push_back(Slot { number, lane: message.lane(), position });
        }
    }
}
