//! What a read returns: events that share the block they were read into.

use std::ops::Range;
use std::sync::Arc;

use crate::append::CommandRecord;
use crate::format::batch::{self, RecordFields};
use crate::format::{array_at, u32_at};
use crate::numbers::{Position, Version};

/// In which order events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The oldest first.
    Forward,
    /// The newest first.
    Backward,
}

/// Part of what was asked for: at most as many events as the limit says, and a bounded number of bytes.
#[derive(Debug, Clone)]
pub struct Page {
    /// In the direction of the read. Of everything and of a stream empty only when there are none left; of a selection
    /// also when none of those considered matched.
    pub events: Vec<StoredEvent>,
    /// Everything up to here was considered: the next page goes on from it. Forward at the end the head as it was, or
    /// where the read began if that is beyond; backward at the beginning zero.
    pub read_to: Position,
    /// Whether the page reached the head, or backward the beginning.
    pub end: bool,
}

/// An event as it was stored.
///
/// Cloning it is cheap, and keeps the block alive that its page was read into.
#[derive(Clone)]
pub struct StoredEvent {
    pub(crate) block: Arc<[u8]>,
    /// Where the head of its batch stands in the block.
    pub(crate) head: u32,
    /// Where its stream's name stands in the block, after its length.
    pub(crate) stream: u32,
    /// Where the event itself stands in the block.
    pub(crate) record: u32,
    pub(crate) position: Position,
    pub(crate) version: Version,
}

const CHECKED: &str = "checked when the page was read";

impl StoredEvent {
    fn head(&self) -> &[u8] {
        &self.block[self.head as usize..]
    }

    fn record(&self) -> &[u8] {
        let record = &self.block[self.record as usize..];
        &record[..u32_at(record, 4) as usize]
    }

    /// Its place in the store.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Its place in its stream.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The name of its stream.
    #[must_use]
    pub fn stream(&self) -> &str {
        let (length, rest) = self.block[self.stream as usize..].split_first().expect(CHECKED);
        str::from_utf8(&rest[..usize::from(*length)]).expect(CHECKED)
    }

    /// Its wire name.
    #[must_use]
    pub fn name(&self) -> &str {
        batch::name(self.record())
    }

    /// The schema version of its data.
    #[must_use]
    pub fn schema(&self) -> u32 {
        u32_at(self.record(), 24)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        array_at(self.record(), 8)
    }

    /// Its tags, in the order they were given.
    pub fn tags(&self) -> impl Iterator<Item = &str> + Clone {
        batch::tags(self.record())
    }

    /// Its metadata, as it was given.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        let record = self.record();
        &record[RecordFields::of(record).metadata]
    }

    /// Its data, as it was given.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        let record = self.record();
        &record[RecordFields::of(record).metadata.end..]
    }

    /// When it was recorded by its appender's clock, in microseconds since 1970.
    #[must_use]
    pub fn recorded_at(&self) -> u64 {
        batch::recorded_at(self.head())
    }

    /// The command that caused it.
    #[must_use]
    pub fn command(&self) -> Option<CommandRecord> {
        batch::command(self.head())
    }

    /// The block its page was read into, and where its data stands there: for callers that share it.
    #[must_use]
    pub fn data_block(&self) -> (Arc<[u8]>, Range<usize>) {
        let record = self.record();
        let start = self.record as usize;
        let data = start + RecordFields::of(record).metadata.end..start + record.len();
        (self.block.clone(), data)
    }
}

impl std::fmt::Debug for StoredEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredEvent")
            .field("position", &self.position.get())
            .field("stream", &self.stream())
            .field("version", &self.version.get())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
