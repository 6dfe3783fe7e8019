//! From a stream to the state of its aggregate: now, at a version, or at a time.
//!
//! ```
//! use std::{convert::Infallible, sync::Arc};
//! use factum::{
//!     EventStore, Version,
//!     dispatch::{At, CommandDispatcher, LoadError, load},
//!     prelude::*,
//!     store::MemoryStore,
//! };
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema, Command)]
//! #[factum(name = "add", aggregate = Counter, id = counter)]
//! struct Add {
//!     counter: uuid::Uuid,
//!     amount: u32,
//! }
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Added {
//!     amount: u32,
//! }
//! #[derive(Clone, Event)]
//! enum CounterEvent {
//!     #[factum(name = "counter.added")]
//!     Added(Added),
//! }
//! #[derive(Clone, Default)]
//! struct Counter(u32);
//! impl Aggregate for Counter {
//!     const CATEGORY: &'static str = "counter";
//!     type Id = uuid::Uuid;
//!     type Event = CounterEvent;
//!     type Rejection = Infallible;
//!     fn apply(&mut self, CounterEvent::Added(added): &CounterEvent) {
//!         self.0 += added.amount;
//!     }
//! }
//! impl Handle<Add> for Counter {
//!     fn handle(&self, add: &Add, _: &Context) -> Result<Events<CounterEvent>, Infallible> {
//!         Ok(CounterEvent::Added(Added { amount: add.amount }).into())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
//! let commands = CommandDispatcher::builder(Arc::clone(&store)).handles::<Add>().build()?;
//! let counter = uuid::Uuid::from_u128(1);
//! for amount in [40, 2] {
//!     commands.dispatch(Add { counter, amount }).await?;
//! }
//! let store = store.as_ref();
//! assert_eq!(load::<Counter>(store, &counter, At::Latest).await?.state.0, 42);
//! assert_eq!(load::<Counter>(store, &counter, At::Version(Version::new(1))).await?.state.0, 40);
//! let beyond = load::<Counter>(store, &counter, At::Version(Version::new(3))).await;
//! assert!(matches!(beyond, Err(LoadError::NoSuchVersion { actual, .. }) if actual == Version::new(2)));
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use factum_engine::{Direction, InvalidName, Position, StreamName, Version};

use super::DispatchError;
use crate::{
    model::{Aggregate, DecodeError, Decoded, Event, RawEvent, Timestamp, stream_of},
    runtime::contained,
    store::{EventStore, NewEvent, RecordedEvent, StoreError},
};

/// How many events one read of a stream asks for.
const LOAD_PAGE_EVENTS: usize = 1_024;

/// Which state of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The one there is now.
    Latest,
    /// The one after this many events; version 0 is the state before the first one.
    Version(Version),
    /// The one before the first event that was recorded later than this. Clocks of different machines may differ,
    /// so that an event can bear an earlier time than the one before it: what comes after an event recorded later is
    /// left out with it. So a later time never shows less, and nothing shows that claims to be later.
    Time(Timestamp),
}

/// An aggregate's state, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<A> {
    /// The state; the default one when no event was folded in.
    pub state: A,
    /// How many events were folded in; zero also when there is no such stream.
    pub version: Version,
    /// The position of the last one; zero without any.
    pub position: Position,
    /// When the last one was recorded.
    pub recorded_at: Option<Timestamp>,
    /// The bytes of the documents folded in: a guess at what the state takes.
    pub(super) folded_bytes: usize,
}

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No stream can have this id: use another one.
    #[error("the aggregate's id: {0}")]
    InvalidId(#[from] InvalidName),
    /// The stream has not got that far: ask for a version it has.
    #[error("{stream} is at version {actual}, there is no version {asked}")]
    NoSuchVersion {
        /// The stream.
        stream: StreamName,
        /// The version asked for.
        asked: Version,
        /// The version it is at.
        actual: Version,
    },
    /// The stream has an event this build does not know. Deciding on a state that lacks a fact would be deciding on a
    /// guess: deploy the build that wrote it.
    #[error("{stream} version {version}: this build does not know `{name}`")]
    UnknownEvent {
        /// The stream.
        stream: StreamName,
        /// The event's version.
        version: Version,
        /// Its wire name.
        name: String,
    },
    /// The document of an event cannot be read, or was written by a newer build.
    #[error("{stream} version {version}: {source}")]
    Unreadable {
        /// The stream.
        stream: StreamName,
        /// The event's version.
        version: Version,
        /// Why.
        source: DecodeError,
    },
    /// The aggregate's own code panicked over an event.
    #[error("{stream} version {version}: it panicked: {message}")]
    Panicked {
        /// The stream.
        stream: StreamName,
        /// The event's version.
        version: Version,
        /// What it said.
        message: String,
    },
    /// The event store cannot answer, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Folds an aggregate's stream from its beginning. An aggregate to which nothing has happened has its default state
/// at version 0.
///
/// # Errors
/// See [`LoadError`]. Events beyond what was asked for are not decoded.
pub async fn load<A: Aggregate>(store: &dyn EventStore, id: &A::Id, at: At) -> Result<Loaded<A>, LoadError> {
    load_stream(store, &stream_of::<A>(id)?, at).await
}

/// The same by the stream's name.
pub(super) async fn load_stream<A: Aggregate>(
    store: &dyn EventStore,
    stream: &StreamName,
    at: At,
) -> Result<Loaded<A>, LoadError> {
    let mut loaded = Loaded::nothing();
    loop {
        let wanted = match at {
            At::Version(version) => version.get() - loaded.version.get(),
            At::Latest | At::Time(_) => u64::MAX,
        };
        if wanted == 0 {
            return Ok(loaded);
        }
        let limit = usize::try_from(wanted).unwrap_or(LOAD_PAGE_EVENTS).min(LOAD_PAGE_EVENTS);
        let batch = store.read_stream(stream, loaded.version.next(), Direction::Forward, limit).await?;
        for event in &batch.events {
            if matches!(at, At::Time(time) if event.recorded_at > time) {
                return Ok(loaded);
            }
            loaded.take(stream, event)?;
        }
        match at {
            At::Version(asked) if batch.end && loaded.version < asked => {
                return Err(LoadError::NoSuchVersion { stream: stream.clone(), asked, actual: loaded.version });
            }
            _ if batch.end => return Ok(loaded),
            _ => {}
        }
    }
}

impl<A: Aggregate> Loaded<A> {
    fn nothing() -> Self {
        Self {
            state: A::default(),
            version: Version::ZERO,
            position: Position::ZERO,
            recorded_at: None,
            folded_bytes: 0,
        }
    }

    fn take(&mut self, stream: &StreamName, event: &RecordedEvent) -> Result<(), LoadError> {
        let (stream, version) = (|| stream.clone(), event.version);
        assert_eq!(version, self.version.next(), "versions of {} are dense", stream());
        // The state is dropped after a panic, never used again.
        match contained(|| fold(&mut self.state, event.raw())) {
            Ok(Ok(Folded::Known)) => {}
            Ok(Ok(Folded::Unknown)) => {
                return Err(LoadError::UnknownEvent { stream: stream(), version, name: event.name.to_string() });
            }
            Ok(Err(source)) => return Err(LoadError::Unreadable { stream: stream(), version, source }),
            Err(message) => return Err(LoadError::Panicked { stream: stream(), version, message }),
        }
        (self.version, self.position, self.recorded_at) = (version, event.position, Some(event.recorded_at));
        self.folded_bytes += event.data.len();
        Ok(())
    }

    /// The state once these events are recorded, folded from their documents: so an event that could not be read
    /// back, or not be folded, is refused before it is written.
    pub(crate) fn after(mut self, events: &[NewEvent]) -> Result<Self, DispatchError<A::Rejection>> {
        let folded = contained(|| {
            events.iter().try_for_each(|event| {
                let raw = RawEvent { name: &event.name, schema: event.schema, data: &event.data };
                match fold(&mut self.state, raw) {
                    Ok(Folded::Known) => Ok(()),
                    Ok(Folded::Unknown) => Err(format!("this build does not know `{}`", event.name)),
                    Err(error) => Err(format!("`{}` cannot be read back: {error}", event.name)),
                }
            })
        });
        folded.map_err(DispatchError::Panicked)?.map_err(DispatchError::Refused)?;
        self.folded_bytes += events.iter().map(|event| event.data.len()).sum::<usize>();
        Ok(self)
    }

    /// Whether the stream is still where this state was left.
    pub(super) async fn is_current(&self, store: &dyn EventStore, stream: &StreamName) -> Result<bool, StoreError> {
        let batch = store.read_stream(stream, self.version.next(), Direction::Forward, 1).await?;
        Ok(batch.events.is_empty())
    }
}

impl<R> From<LoadError> for DispatchError<R> {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Store(error) => error.into(),
            LoadError::Panicked { message, .. } => Self::Panicked(message),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

enum Folded {
    Known,
    Unknown,
}

fn fold<A: Aggregate>(state: &mut A, raw: RawEvent<'_>) -> Result<Folded, DecodeError> {
    match A::Event::decode(raw)? {
        Decoded::Known(fact) => {
            state.apply(&fact);
            Ok(Folded::Known)
        }
        Decoded::Unknown => Ok(Folded::Unknown),
    }
}
