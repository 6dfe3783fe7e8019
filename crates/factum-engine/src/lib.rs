//! An embedded, append-only event store: one directory, one writing process, many readers.
//!
//! It appends events to streams, atomically and under a condition, and answers when they are durable. It is not a
//! database: it has no queries but by stream, by position and by the names and tags of events. It needs no async runtime: calls block or return
//! std futures.
//!
//! ```
//! use factum_engine::{Append, Direction, Engine, ExpectedVersion, NewEvent, Options, StreamName, Version};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let engine = Engine::open(directory.path(), Options::default())?;
//! let stream = StreamName::new("account-1")?;
//! let opened = NewEvent {
//!     id: [1; 16],
//!     name: "account.opened".into(),
//!     schema: 1,
//!     tags: Vec::new(),
//!     metadata: Vec::new(),
//!     data: b"{}".to_vec(),
//! };
//! let append = Append::new(0).stream(stream.clone(), ExpectedVersion::NoStream, vec![opened]);
//! let receipt = engine.append(append)?;
//! assert_eq!(receipt.streams, [(stream.clone(), Version::new(1))]);
//!
//! let page = engine.read_stream(&stream, Version::ZERO, Direction::Forward, 100)?;
//! assert_eq!(page.events[0].name(), "account.opened");
//! engine.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! `docs/data-format.md` shows the bytes on disk and what happens to them in a crash.
#![forbid(unsafe_code)]

// In reading order; rustfmt would sort what stands together.
mod numbers;

mod names;

mod selection;

mod append;

mod options;

mod error;

mod disk;

mod identity;

mod page;

mod format;

mod files;

mod index;

mod subscribe;

mod shared;

mod head;

mod syncing;

mod lookup;

mod read;

mod select;

mod scan;

mod verify;

mod spare;

mod queue;

mod progress;

mod writer;

mod recovery;

mod engine;

mod restore;

mod follow;

pub mod sim;

#[cfg(test)]
mod fuzzing;

pub use append::{Append, CommandRecord, ExpectedVersion, KnownCommand, NewEvent, Receipt, StreamAppend};
pub use disk::{Disk, DiskFile, StdDisk};
pub use engine::{Engine, LOCK_FILE};
pub use error::{AppendError, CloseError, Closed, Damage, OpenError, ReadError, SyncError};
pub use follow::{
    FOLLOW_POLL_MILLIS_DEFAULT, FOLLOW_POLL_MILLIS_MAX, FollowError, FollowedBeyond, Follower, FollowerOptions,
};
pub use format::FORMAT_VERSION;
pub use identity::{Fork, Identity};
pub use index::upkeep::IndexStatus;
pub use names::{EVENT_NAME_BYTES_MAX, InvalidName, STREAM_NAME_BYTES_MAX, StreamName, TAG_BYTES_MAX, Tag};
pub use numbers::{Position, Version};
pub use options::{
    BATCH_BYTES_MAX, BATCH_EVENTS_DEFAULT, BATCH_EVENTS_LIMIT, BATCH_STREAMS_MAX, CUT_FILES_MAX, Drive, Durability,
    EVENT_BYTES_DEFAULT, EVENT_BYTES_LIMIT, EVENT_TAGS_MAX, Entropy, GROUP_BYTES_MAX, INDEX_CACHE_BYTES_DEFAULT,
    INDEX_CACHE_BYTES_MIN, InvalidOptions, Options, PAGE_BYTES_DEFAULT, PAGE_BYTES_LIMIT, PROGRESS_BYTES_MAX,
    PROGRESS_NAME_BYTES_MAX, QUEUE_APPENDS_DEFAULT, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_LIMIT, SEGMENT_BYTES_MIN,
    SEGMENT_FIRST_BYTES, SYNC_INTERVAL_MILLIS_MAX, UNSYNCED_SYNC_MILLIS_MAX,
};
pub use page::{Direction, Page, StoredEvent};
pub use progress::{Progress, ProgressError};
pub use queue::Ticket;
pub use recovery::{CutTail, RecoveryReport};
pub use restore::{FORKS_MAX, LeftBehind, RestoreError, RestoreReport, is_restorable, restore, restore_on};
pub use selection::{
    Boundary, CLAUSE_NAMES_MAX, CLAUSE_TAGS_MAX, Clause, InvalidSelection, SELECTION_CLAUSES_MAX, Selection,
};
pub use subscribe::{Heads, SyncedBeyond};
pub use verify::{VerifyError, VerifyProgress, VerifyReport};
