//! What is appended, under which condition, and what comes back.

use std::borrow::Cow;
use std::fmt;

use crate::names::{StreamName, Tag};
use crate::numbers::{Position, Version};
use crate::selection::Boundary;

/// What an append expects of a stream before it adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// Whatever is there.
    Any,
    /// The stream has no event.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The stream is at exactly this version; `Exact(Version::ZERO)` is the same as [`NoStream`](Self::NoStream).
    Exact(Version),
}

impl ExpectedVersion {
    /// Whether a stream at `actual` meets it.
    #[must_use]
    pub fn is_met_by(self, actual: Version) -> bool {
        match self {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => actual == Version::ZERO,
            ExpectedVersion::StreamExists => actual > Version::ZERO,
            ExpectedVersion::Exact(expected) => actual == expected,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpectedVersion::Any => f.write_str("any version"),
            ExpectedVersion::NoStream => f.write_str("no stream"),
            ExpectedVersion::StreamExists => f.write_str("an existing stream"),
            ExpectedVersion::Exact(version) => write!(f, "version {version}"),
        }
    }
}

/// An event before it is appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Id of the event, chosen by the caller; the engine stores it and does not check that it is unique.
    pub id: [u8; 16],
    /// Wire name, 1 to 255 bytes without control characters, such as `account.funds-deposited`.
    pub name: Cow<'static, str>,
    /// Schema version of `data`.
    pub schema: u32,
    /// At most [`EVENT_TAGS_MAX`](crate::EVENT_TAGS_MAX).
    pub tags: Vec<Tag>,
    /// Opaque to the engine; counts with `data` towards the event limit.
    pub metadata: Vec<u8>,
    /// Opaque to the engine.
    pub data: Vec<u8>,
}

/// Events for one stream, and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAppend {
    /// The stream; each may occur once in an append.
    pub stream: StreamName,
    /// Judged before anything is written.
    pub expected: ExpectedVersion,
    /// In order; may be empty, in which case only the version is checked.
    pub events: Vec<NewEvent>,
}

/// Names the command that caused an append, so that a repeat of it is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandRecord {
    /// The effective command id.
    pub id: [u8; 16],
    /// Keyed hash of the request: the same id with another fingerprint is refused.
    pub fingerprint: [u8; 16],
}

/// One atomic append: all of it becomes durable, or none.
///
/// ```
/// use factum_engine::{Append, ExpectedVersion, StreamName};
///
/// let stream = StreamName::new("account-1")?;
/// let append = Append::new(1_700_000_000_000_000).stream(stream, ExpectedVersion::NoStream, Vec::new());
/// assert_eq!(append.streams.len(), 1);
/// # Ok::<(), factum_engine::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Append {
    /// One entry for each stream.
    pub streams: Vec<StreamAppend>,
    /// Judged before everything else.
    pub command: Option<CommandRecord>,
    /// Judged after the versions of the streams.
    pub boundary: Option<Boundary>,
    /// Microseconds since 1970, from the caller's clock.
    pub recorded_at: u64,
}

impl Append {
    /// An append without streams, recorded at so many microseconds since 1970.
    #[must_use]
    pub fn new(recorded_at: u64) -> Self {
        Append { streams: Vec::new(), command: None, boundary: None, recorded_at }
    }

    /// Adds events to a stream, under a condition.
    #[must_use]
    pub fn stream(mut self, stream: StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Self {
        self.streams.push(StreamAppend { stream, expected, events });
        self
    }

    /// Refuses it if the boundary was crossed: an event matching its selection stands behind its position.
    ///
    /// ```
    /// use factum_engine::{Append, Boundary, Clause, ExpectedVersion, StreamName, Tag};
    ///
    /// let unique = Boundary::nothing_like(Clause::tags([Tag::new("email:ada@example.org")?]));
    /// let append = Append::new(1_700_000_000_000_000)
    ///     .stream(StreamName::new("user-1")?, ExpectedVersion::Any, Vec::new())
    ///     .unless(unique);
    /// assert!(append.boundary.is_some());
    /// # Ok::<(), factum_engine::InvalidName>(())
    /// ```
    #[must_use]
    pub fn unless(mut self, boundary: Boundary) -> Self {
        self.boundary = Some(boundary);
        self
    }

    /// Names the command that causes it.
    #[must_use]
    pub fn command(mut self, record: CommandRecord) -> Self {
        self.command = Some(record);
        self
    }
}

/// What an accepted append returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Version of each stream of the append after it, in the append's order.
    pub streams: Vec<(StreamName, Version)>,
    /// Position of its first event.
    pub first: Position,
    /// Position of its last event.
    pub last: Position,
    /// Whether this is the receipt of an earlier append under the same command id; nothing was added now.
    pub repeated: bool,
}

/// What the store remembers of a command id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCommand {
    /// The fingerprint it was appended under.
    pub fingerprint: [u8; 16],
    /// The original receipt, marked as repeated.
    pub receipt: Receipt,
}
