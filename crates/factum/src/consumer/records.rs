//! Records of one partition on their way to be applied.

use std::{
    ops::{Deref, Range},
    sync::{Mutex, PoisonError},
};

use crate::bus::{Envelope, EnvelopeError, Record};

/// A record, read as a message.
pub(super) type Message = Result<Envelope, EnvelopeError>;

/// Records that came together, shared with the thread that applies them, and with the one that reads them before that.
pub(super) struct Records {
    records: Vec<Record>,
    /// What was read ahead and nobody took yet, by the index of its record.
    ahead: Mutex<Vec<Option<Message>>>,
}

impl Records {
    pub(super) fn new(records: Vec<Record>) -> Self {
        Self { records, ahead: Mutex::default() }
    }

    /// Reads all of them, so that whoever takes the messages need not. Who comes meanwhile waits.
    pub(super) fn read_ahead(&self) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.is_empty() {
            *ahead = self.records.iter().map(|record| Some(read(record))).collect();
        }
    }

    /// The messages of some of them, in order; those that were not read ahead, or were taken before, are read now.
    pub(super) fn messages(&self, range: Range<usize>) -> impl Iterator<Item = (&Record, Message)> {
        let records = &self.records[range.clone()];
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<Option<Message>> =
            ahead.get_mut(range).map(|ahead| ahead.iter_mut().map(Option::take).collect()).unwrap_or_default();
        drop(ahead);
        let mut taken = taken.into_iter();
        records.iter().map(move |record| (record, taken.next().flatten().unwrap_or_else(|| read(record))))
    }
}

/// What came, as it came.
impl Deref for Records {
    type Target = [Record];

    fn deref(&self) -> &[Record] {
        &self.records
    }
}

pub(super) fn read(record: &Record) -> Message {
    Envelope::decode(&record.headers, &record.value)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        bus::{Headers, Offset},
        testing::NOW,
    };

    /// Records that are no messages, which is all that is asked of them here.
    fn records(count: u64) -> Records {
        let record = |offset| Record {
            offset: Offset::new(offset),
            key: Bytes::new(),
            headers: Headers::new(),
            value: Bytes::new(),
            timestamp: NOW,
        };
        Records::new((0..count).map(record).collect())
    }

    fn waiting(records: &Records) -> usize {
        records.ahead.lock().unwrap().iter().flatten().count()
    }

    fn taken(records: &Records, range: Range<usize>) -> Vec<u64> {
        let is_read = |(record, message): (&Record, Message)| {
            assert!(matches!(message, Err(EnvelopeError::Missing("specversion"))));
            record.offset.get()
        };
        records.messages(range).map(is_read).collect()
    }

    #[test]
    fn what_was_read_ahead_is_taken_once_and_read_again_where_it_is_wanted_again() {
        let records = records(4);
        assert_eq!(taken(&records, 0..4), [0, 1, 2, 3], "read ahead by nobody");
        records.read_ahead();
        assert_eq!(waiting(&records), 4);
        assert_eq!(taken(&records, 1..3), [1, 2]);
        assert_eq!(waiting(&records), 2);
        assert_eq!(taken(&records, 0..3), [0, 1, 2]);
        records.read_ahead();
        assert_eq!(waiting(&records), 1, "nothing is read ahead twice");
        assert_eq!(taken(&records, 3..4), [3]);
    }
}
