//! Options, and every limit by name.

use std::fmt;
use std::time::Duration;

/// Tags one event may carry.
pub const EVENT_TAGS_MAX: usize = 32;
/// Bytes of metadata and data one event may carry, unless the options say otherwise.
pub const EVENT_BYTES_DEFAULT: usize = 1 << 20;
/// The most [`Options::event_bytes_max`] may be.
pub const EVENT_BYTES_LIMIT: usize = 16 << 20;
/// Events in one append, unless the options say otherwise.
pub const BATCH_EVENTS_DEFAULT: usize = 1_024;
/// The most [`Options::batch_events_max`] may be: the format counts a batch's events in 16 bits.
pub const BATCH_EVENTS_LIMIT: usize = u16::MAX as usize;
/// Streams one append may name.
pub const BATCH_STREAMS_MAX: usize = 1_024;
/// Bytes one append may take in the log.
pub const BATCH_BYTES_MAX: usize = 32 << 20;
/// Size of a full-grown segment, unless the options say otherwise.
pub const SEGMENT_BYTES_DEFAULT: u64 = 32 << 20;
/// The least [`Options::segment_bytes`] may be.
pub const SEGMENT_BYTES_MIN: u64 = 8 << 10;
/// The most [`Options::segment_bytes`] may be: offsets are stored in 32 bits.
pub const SEGMENT_BYTES_LIMIT: u64 = 1 << 30;
/// Size of a store's first segment; each following one is twice as large, up to [`Options::segment_bytes`].
pub const SEGMENT_FIRST_BYTES: u64 = 1 << 20;
/// Appends that may wait for the writer, unless the options say otherwise.
pub const QUEUE_APPENDS_DEFAULT: usize = 16_384;
/// Bytes of log one page may hold, unless the options say otherwise.
pub const PAGE_BYTES_DEFAULT: usize = 4 << 20;
/// The most [`Options::page_bytes_max`] may be: places in a page are kept in 32 bits.
pub const PAGE_BYTES_LIMIT: usize = 1 << 30;
/// Bytes of index files' blocks kept in memory, unless the options say otherwise.
pub const INDEX_CACHE_BYTES_DEFAULT: usize = 8 << 20;
/// The least [`Options::index_cache_bytes`] may be.
pub const INDEX_CACHE_BYTES_MIN: usize = 64 << 10;
/// Bytes of encoded batches the writer puts into one group; a larger batch is a group of its own.
pub const GROUP_BYTES_MAX: usize = 4 << 20;
/// Longest name of a progress record, in bytes.
pub const PROGRESS_NAME_BYTES_MAX: usize = 200;
/// Largest value of a progress record, in bytes.
pub const PROGRESS_BYTES_MAX: usize = 64 << 10;

/// Files of cut tails (`cut-…`) that opening keeps; of more it removes the oldest, and reports them.
pub const CUT_FILES_MAX: usize = 16;
/// The longest [`Durability::Interval`], in milliseconds.
pub const SYNC_INTERVAL_MILLIS_MAX: u64 = 60_000;
/// How long events of [`Durability::Unsynced`] wait for their sync at most, in milliseconds.
pub const UNSYNCED_SYNC_MILLIS_MAX: u64 = 10_000;

/// When an append is answered, and so what a power cut may take.
///
/// In every mode subscriptions, pages of [`Engine::read`](crate::Engine::read), verification and followers see only
/// what is known durable; loading for a decision ([`Engine::read_stream`](crate::Engine::read_stream),
/// [`Engine::stream_version`](crate::Engine::stream_version), [`Engine::command`](crate::Engine::command)) and the
/// conditions of appends see everything written. A process that is killed loses nothing in any mode. Closing syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// After `fdatasync`; concurrent appends share one. A power cut takes nothing that was acknowledged.
    #[default]
    Synced,
    /// After the write. A sync in the background begins at most this long after it: 1 ms to
    /// [`SYNC_INTERVAL_MILLIS_MAX`]. A power cut may take the last appends, that is those of this time and of one
    /// sync; what is left is all of the history up to some point, and at least what was synced.
    Interval(Duration),
    /// As `Interval`, with [`UNSYNCED_SYNC_MILLIS_MAX`]: for tests, and for loading in bulk what can be loaded again.
    Unsynced,
}

impl Durability {
    /// How long after its write a group's sync begins at most; `None` when the answer waits for the sync.
    pub(crate) fn sync_delay(self) -> Option<Duration> {
        match self {
            Durability::Synced => None,
            Durability::Interval(interval) => Some(interval),
            Durability::Unsynced => Some(Duration::from_millis(UNSYNCED_SYNC_MILLIS_MAX)),
        }
    }
}

/// Where ids and keys of a new store come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Entropy {
    /// The operating system.
    #[default]
    System,
    /// A seed, for simulators: the same seed mints the same identity. Never for a store that matters.
    Seeded(u64),
}

/// Who drives the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drive {
    /// A thread of the engine, and lone callers themselves; another thread prepares segments.
    #[default]
    Threads,
    /// No thread is started: [`Engine::append`](crate::Engine::append) drives its own, and what
    /// [`Engine::submit`](crate::Engine::submit) queues waits for [`Engine::step`](crate::Engine::step); what no
    /// append waits for is synced by [`Engine::sync`](crate::Engine::sync).
    /// For simulators and tests: the same calls give the same operations on the disk.
    Manual,
}

/// How a store is opened. Limits are of the opening, not of the store: they may differ from one to the next.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) event_bytes_max: usize,
    pub(crate) batch_events_max: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) queue_appends_max: usize,
    pub(crate) page_bytes_max: usize,
    pub(crate) index_cache_bytes: usize,
    pub(crate) entropy: Entropy,
    pub(crate) drive: Drive,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            durability: Durability::Synced,
            event_bytes_max: EVENT_BYTES_DEFAULT,
            batch_events_max: BATCH_EVENTS_DEFAULT,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            queue_appends_max: QUEUE_APPENDS_DEFAULT,
            page_bytes_max: PAGE_BYTES_DEFAULT,
            index_cache_bytes: INDEX_CACHE_BYTES_DEFAULT,
            entropy: Entropy::System,
            drive: Drive::Threads,
        }
    }
}

impl Options {
    /// When an append is answered.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Bytes of metadata and data one event may carry: 1 to [`EVENT_BYTES_LIMIT`].
    #[must_use]
    pub fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.event_bytes_max = bytes;
        self
    }

    /// Events in one append: 1 to [`BATCH_EVENTS_LIMIT`].
    #[must_use]
    pub fn batch_events_max(mut self, events: usize) -> Self {
        self.batch_events_max = events;
        self
    }

    /// Size of a full-grown segment: [`SEGMENT_BYTES_MIN`] to [`SEGMENT_BYTES_LIMIT`]. A batch that does not fit
    /// gets a larger segment of its own.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Appends that may wait for the writer, at least 1; more are refused as overload.
    #[must_use]
    pub fn queue_appends_max(mut self, appends: usize) -> Self {
        self.queue_appends_max = appends;
        self
    }

    /// Bytes of log one page may hold, 1 to [`PAGE_BYTES_LIMIT`]; a single event may exceed it.
    #[must_use]
    pub fn page_bytes_max(mut self, bytes: usize) -> Self {
        self.page_bytes_max = bytes;
        self
    }

    /// Bytes of index files' blocks kept in memory, at least [`INDEX_CACHE_BYTES_MIN`]. Besides them the index takes
    /// memory for the segments that have no index file yet: the active one, and one or two while theirs are written.
    #[must_use]
    pub fn index_cache_bytes(mut self, bytes: usize) -> Self {
        self.index_cache_bytes = bytes;
        self
    }

    /// Where the ids and the key of a new store come from.
    #[must_use]
    pub fn entropy(mut self, entropy: Entropy) -> Self {
        self.entropy = entropy;
        self
    }

    /// Who drives the writer.
    #[must_use]
    pub fn drive(mut self, drive: Drive) -> Self {
        self.drive = drive;
        self
    }

    /// Size the segment with this number (from 1) should have.
    pub(crate) fn segment_size(&self, number: u32) -> u64 {
        let doublings = (number - 1).min(SEGMENT_BYTES_LIMIT.ilog2());
        (SEGMENT_FIRST_BYTES << doublings).min(self.segment_bytes)
    }

    pub(crate) fn check(&self) -> Result<(), InvalidOptions> {
        let delay = self.durability.sync_delay().unwrap_or(Duration::from_millis(1));
        let delays = Duration::from_millis(1)..=Duration::from_millis(SYNC_INTERVAL_MILLIS_MAX);
        let reason = if !delays.contains(&delay) {
            "the interval between syncs must be 1 ms to 60 s"
        } else if !(1..=EVENT_BYTES_LIMIT).contains(&self.event_bytes_max) {
            "event_bytes_max must be 1 to 16 MiB"
        } else if !(1..=BATCH_EVENTS_LIMIT).contains(&self.batch_events_max) {
            "batch_events_max must be 1 to 65,535"
        } else if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_LIMIT).contains(&self.segment_bytes) {
            "segment_bytes must be 8 KiB to 1 GiB"
        } else if !self.segment_bytes.is_multiple_of(4096) {
            "segment_bytes must be a multiple of 4,096"
        } else if self.queue_appends_max == 0 {
            "queue_appends_max must be at least 1"
        } else if !(1..=PAGE_BYTES_LIMIT).contains(&self.page_bytes_max) {
            "page_bytes_max must be 1 byte to 1 GiB"
        } else if self.index_cache_bytes < INDEX_CACHE_BYTES_MIN {
            "index_cache_bytes must be at least 64 KiB"
        } else {
            return Ok(());
        };
        Err(InvalidOptions { reason })
    }
}

/// Options outside their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidOptions {
    pub(crate) reason: &'static str,
}

impl fmt::Display for InvalidOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for InvalidOptions {}
