//! Read models: folded by projections, asked by queries.

use std::{borrow::Cow, fmt};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Delivery, Event, InvalidField, Message};
use crate::read::{ReadError, ReadSnapshot, ReadTransaction};

/// A pure function of events into a read model. The runtime builds it with `Default` and hands it nothing but the
/// event, where it comes from, and the read database's transaction, so that it cannot reach the bus, a clock or
/// another effect, and a rebuild can never fire one.
///
/// Its effects and its checkpoint are committed in one transaction.
pub trait Projection: Default + Send + 'static {
    /// Its name in the read database, in kebab-case.
    const NAME: &'static str;
    /// Raised by hand whenever `project` or a document changes shape: the new version fills new tables from the
    /// beginning.
    const VERSION: u32;
    /// What it folds: the service's own events, or a consumer's enum of foreign messages.
    type Event: Event;

    /// Folds one event into the read model.
    ///
    /// # Errors
    /// What the transaction said, or [`ReadError::Broken`] for a document that contradicts the event.
    fn project(&self, event: &Self::Event, delivery: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError>;

    /// What an event is kept in order with, as far as this projection goes: once one failed for good, all that come
    /// after it under the same key are parked behind it, and everything else flows on. The event's stream, unless
    /// this says otherwise; the documents an event changes must not depend on events of other keys.
    fn parks_by(delivery: &Delivery) -> Cow<'_, str> {
        Cow::Borrowed(delivery.stream.as_str())
    }
}

/// Name and version of a projection: which tables and checkpoints are its.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectionKey {
    /// [`Projection::NAME`].
    pub name: &'static str,
    /// [`Projection::VERSION`].
    pub version: u32,
}

impl ProjectionKey {
    /// The key of a projection.
    pub const fn of<P: Projection>() -> Self {
        Self { name: P::NAME, version: P::VERSION }
    }
}

impl fmt::Display for ProjectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl fmt::Debug for ProjectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A question to read models; changes nothing. Derived in part by `#[derive(Query)]` (the name and what it reads);
/// `answer` is written by hand.
///
/// It runs on a snapshot and cannot reach the event store.
pub trait Query: Message + Answers {
    /// The projections whose read models it reads: what a token waits for.
    const READS: &'static [ProjectionKey];
}

/// How a query finds its answer.
pub trait Answers {
    /// What it answers with, as a JSON document.
    type Answer: Serialize + JsonSchema + Send + 'static;

    /// The codes of [`QueryError::NotFound`] it may answer with, for those who document it.
    const NOT_FOUND: &'static [&'static str] = &[];

    /// Answers from one consistent snapshot of the read models.
    ///
    /// # Errors
    /// Nothing is there, a parameter is not allowed, or the read store failed.
    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<Self::Answer, QueryError>;
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// What was asked about does not exist (HTTP 404).
    #[error("{message}")]
    NotFound {
        /// A stable code in kebab-case: `account-not-found`.
        code: &'static str,
        /// The same in words.
        message: String,
    },
    /// A parameter's value is not allowed (HTTP 400).
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    /// The read store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}
