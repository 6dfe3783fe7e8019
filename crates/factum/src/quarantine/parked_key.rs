//! A key that is parked: what is shown of it, and how many there may be.

use serde::{Deserialize, Serialize};

use crate::{
    bus::TopicPartition,
    model::{EventId, Timestamp},
    runtime::Status,
};

/// The most messages of one key that are parked. With one more, its partition stands still.
pub const PARKED_MESSAGES_MAX: usize = 1_000;
/// The most keys of one partition that are parked. With one more, the partition stands still.
pub const PARKED_KEYS_MAX: usize = 100;

/// What an alarm is about that something is parked.
pub(crate) const QUARANTINE_ALARM: &str = "quarantine";

/// A key that is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedKey {
    /// The key: as a rule the stream; of a process manager, the process's.
    pub key: String,
    /// The topic its messages come on; none: the service's own store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The partition they come on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Why its first message failed, the last time it was tried.
    pub reason: String,
    /// When the key was parked.
    pub since: Timestamp,
    /// When its first message was tried last.
    pub tried_at: Timestamp,
    /// How often its first message was tried; 0: it stood behind one that was discarded.
    pub attempts: u32,
    /// How many messages are parked.
    pub messages: u64,
    /// The id of the event of its first message: what a discard names.
    pub event_id: EventId,
    /// The name of its first message.
    pub name: String,
    /// The position of its first message in its store.
    pub position: u64,
}

impl ParkedKey {
    /// The same when its first messages are gone and so many are left, of which this one is the first now.
    pub(super) fn behind(
        &self,
        (event_id, name, position): (EventId, &str, u64),
        messages: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            reason: "it stood behind a message that failed".to_owned(),
            tried_at: now,
            attempts: 0,
            messages,
            event_id,
            name: name.to_owned(),
            position,
            ..self.clone()
        }
    }

    /// The same when its first message failed again.
    pub(super) fn failed_again(&self, reason: &str, now: Timestamp) -> Self {
        let attempts = self.attempts.saturating_add(1);
        Self { reason: reason.to_owned(), tried_at: now, attempts, ..self.clone() }
    }

    /// Why there is no room for one more message of it, if there is none.
    pub(super) fn is_full(&self) -> Option<String> {
        let Self { key, reason, .. } = self;
        let full = || format!("{PARKED_MESSAGES_MAX} messages of key {key} are parked already ({reason})");
        (self.messages >= PARKED_MESSAGES_MAX as u64).then(full)
    }
}

/// Why there is no room for one more key of a partition (none: of the own store), if there is none beside these.
pub(super) fn no_room_for_key<'a>(
    abouts: impl Iterator<Item = &'a ParkedKey>,
    partition: Option<&TopicPartition>,
) -> Option<String> {
    let here = |about: &&ParkedKey| match partition {
        Some(from) => about.topic.as_deref() == Some(&*from.topic) && about.partition == Some(from.partition),
        None => about.topic.is_none(),
    };
    (abouts.filter(here).count() >= PARKED_KEYS_MAX).then(|| format!("{PARKED_KEYS_MAX} keys are parked already"))
}

/// Shows what is parked, as an alarm that names the key parked longest.
pub(super) fn show<'a>(status: &Status, abouts: impl Iterator<Item = &'a ParkedKey> + Clone) {
    let (keys, messages) = (abouts.clone().count() as u64, abouts.clone().map(|about| about.messages).sum());
    let oldest = abouts.min_by_key(|about| (about.since, about.position));
    let text = oldest.map(|ParkedKey { key, since, reason, .. }| {
        format!("{messages} messages of {keys} keys are parked; longest {key}, since {since}: {reason}")
    });
    status.update(|report| {
        (report.parked_keys, report.parked_messages) = (keys, messages);
        match text {
            Some(text) => {
                if !report.alarms.contains_key(QUARANTINE_ALARM) {
                    tracing::error!(loop_name = status.name(), text, "a key is parked");
                }
                report.alarms.insert(QUARANTINE_ALARM.to_owned(), text);
            }
            None => drop(report.alarms.remove(QUARANTINE_ALARM)),
        }
    });
}
