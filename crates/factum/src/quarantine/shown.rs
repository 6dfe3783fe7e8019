//! As many messages of a key as are shown at one time, and where the rest begins.

use super::{ParkedMessage, shelf::messages};
use crate::{
    model::{EventId, ProjectionKey},
    read::{Key, KeyRange, ReadError, ReadSnapshot},
};

/// After the message that takes them beyond this, in bytes of their documents, no more are shown.
const SHOWN_BYTES_MAX: usize = 4 << 20;
/// How many are read at one time.
const READ_MESSAGES_MAX: usize = 16;

/// Messages of a key, in order: as many as were asked for, or fewer when their documents take more than 4 MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The messages.
    pub messages: Vec<ParkedMessage>,
    /// Where the rest begins: after the message of this event id, the last one here. None: this is all.
    pub next: Option<EventId>,
    bytes: usize,
}

impl Shown {
    /// Takes a message in, or leaves it for the next time: then this is to be answered.
    pub(super) fn take(&mut self, message: ParkedMessage, limit: usize) -> bool {
        if self.messages.len() >= limit || self.bytes > SHOWN_BYTES_MAX {
            self.next = self.messages.last().map(|last| last.event_id);
            return false;
        }
        self.bytes += [&message.data, &message.data_base64].into_iter().flatten().map(String::len).sum::<usize>();
        self.messages.push(message);
        true
    }
}

/// The messages of a key, in order: the first `limit`, or fewer when their documents are large; of those after `after`,
/// where that is said. None: that one is not among them.
pub(super) fn messages_shown(
    read: &mut (impl ReadSnapshot + ?Sized),
    projection: ProjectionKey,
    key: &str,
    (mut after, limit): (Option<EventId>, usize),
) -> Result<Option<Shown>, ReadError> {
    let (table, prefix) = (messages(projection), Key::from(key));
    let (mut range, mut shown) = (KeyRange::prefix(&prefix), Shown::default());
    loop {
        let rows = table.rows(read, &range, READ_MESSAGES_MAX)?;
        let Some((last, _)) = rows.last() else { return Ok(after.is_none().then_some(shown)) };
        range = KeyRange::prefix(&prefix).after(last.clone());
        for (_, message) in rows {
            if after.is_some() {
                after = after.filter(|after| *after != message.event_id);
            } else if !shown.take(message, limit) {
                return Ok(Some(shown));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::read::{MemoryReadStore, ReadStore, ReadTransaction};

    const TOTALS: ProjectionKey = ProjectionKey { name: "totals", version: 1 };

    fn id(number: u64) -> EventId {
        EventId::from_uuid(Uuid::from_u128(u128::from(number)))
    }

    fn parked(count: u64, bytes: usize) -> MemoryReadStore {
        let store = MemoryReadStore::new();
        let some = Uuid::from_u128(0xf00d);
        let at = "2026-01-01T00:00:00Z";
        let data = "x".repeat(bytes);
        let epoch = store.claim(TOTALS).expect("it is in memory");
        let put = |tx: &mut dyn ReadTransaction| {
            for number in 1..=count {
                let message: ParkedMessage = serde_json::from_value(json!({
                    "event_id": id(number), "name": "told", "schema": 1, "store": some, "incarnation": some,
                    "position": number, "stream": "a-1", "version": number, "recorded_at": at, "correlation_id": some,
                    "actor": "ada", "parked_at": at, "data": data,
                }))
                .expect("is a parked message");
                messages(TOTALS).put(tx, &Key::from("a-1").number(number), &message)?;
            }
            Ok(())
        };
        store.write(TOTALS, epoch, &[], &mut { put }).expect("it is in memory");
        store
    }

    fn shown(store: &MemoryReadStore, after: Option<u64>, limit: usize) -> Option<(Vec<u64>, Option<EventId>)> {
        let mut found = None;
        let look = &mut |read: &mut dyn ReadSnapshot| {
            found = messages_shown(read, TOTALS, "a-1", (after.map(id), limit))?;
            Ok(())
        };
        store.read(look).expect("it is in memory");
        found.map(|shown| (shown.messages.iter().map(|message| message.position).collect(), shown.next))
    }

    /// A thousand messages of nearly a megabyte each were read, and answered, at once.
    #[test]
    fn large_messages_are_shown_up_to_a_limit_and_the_rest_after_them() {
        let store = parked(12, 1_000_000);
        assert_eq!(shown(&store, None, 1_000), Some((vec![1, 2, 3, 4, 5], Some(id(5)))));
        assert_eq!(shown(&store, Some(5), 1_000), Some((vec![6, 7, 8, 9, 10], Some(id(10)))));
        assert_eq!(shown(&store, Some(10), 1_000), Some((vec![11, 12], None)));
        assert_eq!(shown(&store, None, 2), Some((vec![1, 2], Some(id(2)))));
    }

    #[test]
    fn small_messages_are_shown_as_far_as_was_asked_for() {
        let store = parked(40, 10);
        assert_eq!(shown(&store, None, 40), Some(((1..=40).collect(), None)));
        assert_eq!(shown(&store, None, 17), Some(((1..=17).collect(), Some(id(17)))));
        assert_eq!(shown(&store, Some(17), 1_000), Some(((18..=40).collect(), None)));
        assert_eq!(shown(&store, Some(40), 1_000), Some((vec![], None)));
    }

    #[test]
    fn after_a_message_that_is_gone_nothing_can_be_shown() {
        assert_eq!(shown(&parked(3, 10), Some(9), 1_000), None);
    }
}
