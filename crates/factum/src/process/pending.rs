//! The timers that are set: folded from what events ask for, bounded in memory, and what of them is saved.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use factum_engine::{Position, StreamName, Version};
use serde::{Deserialize, Serialize};

use super::firing::Change;
use crate::model::{CorrelationId, EventId, Timestamp};

/// The most timers kept in memory: those due first. The others are read from the store again when their time comes.
pub(super) const PENDING_TIMERS_MAX: usize = 100_000;
/// How long at least lies between two such readings: while timers that fail take up all places, reading helps nobody.
const REREAD_WAIT: Duration = Duration::from_secs(1);

/// A timer that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    /// Of which process.
    pub(crate) stream: StreamName,
    pub(crate) name: Arc<str>,
    pub(crate) due: Timestamp,
    /// The event that set it, and where it is.
    pub(crate) set_by: EventId,
    pub(crate) version: Version,
    pub(crate) position: Position,
    pub(crate) correlation_id: CorrelationId,
}

/// A [`Timer`] as it is saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedTimer {
    stream: String,
    timer: String,
    due: u64,
    set_by: EventId,
    version: u64,
    position: u64,
    correlation_id: CorrelationId,
}

/// Which timer: a process has one of a name.
type Key = (StreamName, Arc<str>);
/// When it is to be looked at, and which of those of that time.
type Turn = (Timestamp, Position, Arc<str>);

/// The timers that are set.
#[derive(Debug)]
pub(super) struct Pending {
    timers: HashMap<Key, Entry>,
    turns: BTreeMap<Turn, Key>,
    timers_max: usize,
    /// Of what was set up to here, nothing is missing.
    complete_to: Position,
    /// When the first timer is due that is missing although it was read; `None`: none is.
    missing_due: Option<Timestamp>,
    /// Before then, nothing is read again.
    missing_before: Timestamp,
}

#[derive(Debug)]
struct Entry {
    timer: Arc<Timer>,
    /// When it is tried, or tried again.
    at: Timestamp,
    failures: u32,
}

impl Pending {
    /// What was saved: of what was set up to a position, everything.
    pub(super) fn new(saved: Vec<Timer>, complete_to: Position, timers_max: usize) -> Self {
        let (timers, turns) = (HashMap::new(), BTreeMap::new());
        let mut pending =
            Self { timers, turns, timers_max, complete_to, missing_due: None, missing_before: Timestamp::default() };
        for timer in saved {
            pending.insert(timer, complete_to);
        }
        pending
    }

    /// What an event means for timers.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Set(timer) => self.set(timer),
            Change::Clear { stream, name } => self.clear(&stream, &name),
            Change::Fired { stream, name, set_by } => self.fired(&stream, &name, set_by),
        }
    }

    /// Of what was set up to here, nothing is missing.
    pub(super) const fn complete_to(&self) -> Position {
        self.complete_to
    }

    /// A timer is set; one of the same name gives way to it.
    fn set(&mut self, timer: Timer) {
        self.clear(&timer.stream, &timer.name);
        let position = timer.position;
        self.insert(timer, position);
    }

    /// A timer is not due any more.
    fn clear(&mut self, stream: &StreamName, name: &str) {
        self.remove(stream, name, |_| true);
    }

    /// A timer has fired, unless it was set again since.
    pub(super) fn fired(&mut self, stream: &StreamName, name: &str, set_by: EventId) {
        self.remove(stream, name, |timer| timer.set_by == set_by);
    }

    /// Everything up to a position was read.
    pub(super) fn read_to(&mut self, position: Position) {
        if self.missing_due.is_none() {
            self.complete_to = self.complete_to.max(position);
        }
    }

    /// Timers whose time has come, the first due first.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<Arc<Timer>> {
        let due = self.turns.iter().take_while(|((at, ..), _)| *at <= now).take(limit);
        due.map(|(_, key)| Arc::clone(&self.timers[key].timer)).collect()
    }

    /// When the next timer is to be tried; also one that is missing.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let first = self.turns.first_key_value().map(|((at, ..), _)| *at);
        first.into_iter().chain(self.missing_due).min()
    }

    /// Whether it is time to read again what is missing, and from where.
    pub(super) fn missing(&self, now: Timestamp) -> Option<Position> {
        // What is here goes first: it makes room.
        let idle = self.turns.first_key_value().is_none_or(|((at, ..), _)| *at > now);
        (idle && self.missing_due.is_some_and(|due| due <= now)).then_some(self.complete_to)
    }

    /// What is missing is read again from where it begins.
    pub(super) fn reread(&mut self, now: Timestamp) {
        self.missing_due = None;
        self.missing_before = now.plus(REREAD_WAIT);
    }

    /// A timer could not fire: it is tried again after a wait that depends on how often that happened.
    pub(super) fn failed(&mut self, timer: &Timer, now: Timestamp, wait: impl FnOnce(u32) -> Duration) {
        let key = (timer.stream.clone(), Arc::clone(&timer.name));
        let Some(entry) = self.timers.get_mut(&key).filter(|entry| entry.timer.set_by == timer.set_by) else { return };
        self.turns.remove(&turn(entry));
        entry.at = now.plus(wait(entry.failures));
        entry.failures += 1;
        self.turns.insert(turn(entry), key);
    }

    /// What waits to be tried again is tried at once: the clock went back, and it would wait longer than it was to; or what
    /// kept it from firing may be over.
    pub(super) fn try_again_now(&mut self) {
        for (key, entry) in self.timers.iter_mut().filter(|(_, entry)| entry.failures > 0) {
            self.turns.remove(&turn(entry));
            entry.at = entry.timer.due;
            self.turns.insert(turn(entry), key.clone());
        }
    }

    /// The timers that were set first, as many as fit, and up to where nothing is missing in them.
    pub(super) fn oldest(&self, bytes_max: usize) -> (Vec<SavedTimer>, Position) {
        let mut timers: Vec<&Timer> = self.timers.values().map(|entry| entry.timer.as_ref()).collect();
        timers.retain(|timer| timer.position <= self.complete_to);
        timers.sort_unstable_by_key(|timer| timer.position);
        let (mut saved, mut bytes) = (Vec::new(), 0);
        for timer in timers {
            let next = SavedTimer::from(timer);
            bytes += next.bytes();
            if bytes > bytes_max {
                // Several timers may be of one event.
                let complete_to = Position::new(next.position - 1);
                saved.retain(|earlier: &SavedTimer| earlier.position <= complete_to.get());
                return (saved, complete_to);
            }
            saved.push(next);
        }
        (saved, self.complete_to)
    }

    fn insert(&mut self, timer: Timer, read_to: Position) {
        let key = (timer.stream.clone(), Arc::clone(&timer.name));
        let entry = Entry { at: timer.due, timer: Arc::new(timer), failures: 0 };
        self.turns.insert(turn(&entry), key.clone());
        self.timers.insert(key, entry);
        if self.timers.len() > self.timers_max
            && let Some((_, key)) = self.turns.pop_last()
            && let Some(last) = self.timers.remove(&key)
        {
            if self.missing_due.is_none() {
                self.complete_to = self.complete_to.max(read_to);
            }
            // The one that is due last makes room.
            self.complete_to = self.complete_to.min(Position::new(last.timer.position.get().saturating_sub(1)));
            let due = last.timer.due.max(self.missing_before);
            self.missing_due = Some(self.missing_due.map_or(due, |earlier| earlier.min(due)));
        }
    }

    fn remove(&mut self, stream: &StreamName, name: &str, is_it: impl FnOnce(&Timer) -> bool) {
        let key = (stream.clone(), Arc::from(name));
        if self.timers.get(&key).is_some_and(|entry| is_it(&entry.timer))
            && let Some(entry) = self.timers.remove(&key)
        {
            self.turns.remove(&turn(&entry));
        }
    }
}

fn turn(entry: &Entry) -> Turn {
    (entry.at, entry.timer.position, Arc::clone(&entry.timer.name))
}

impl SavedTimer {
    /// No less than it takes as JSON.
    const fn bytes(&self) -> usize {
        /// Names of fields, numbers, ids.
        const FIXED_BYTES: usize = 256;
        // Each byte of a name may become an escape of six.
        FIXED_BYTES + 6 * (self.stream.len() + self.timer.len())
    }

    /// The timer; `None` when it was not saved by this code.
    pub(super) fn timer(self) -> Option<Timer> {
        Some(Timer {
            stream: StreamName::new(&self.stream).ok()?,
            name: self.timer.into(),
            due: Timestamp::from_micros(self.due),
            set_by: self.set_by,
            version: Version::new(self.version),
            position: Position::new(self.position),
            correlation_id: self.correlation_id,
        })
    }
}

impl From<&Timer> for SavedTimer {
    fn from(timer: &Timer) -> Self {
        Self {
            stream: timer.stream.as_str().to_owned(),
            timer: timer.name.to_string(),
            due: timer.due.as_micros(),
            set_by: timer.set_by,
            version: timer.version.get(),
            position: timer.position.get(),
            correlation_id: timer.correlation_id,
        }
    }
}

#[cfg(test)]
mod tests;
