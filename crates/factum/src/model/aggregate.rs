//! Aggregates: state folded from one stream, and the decisions taken on it.

use std::fmt::Display;

use factum_engine::{InvalidName, StreamName};
use uuid::Uuid;

use super::{Context, Event, InvalidField, Message, Rejection};

/// The id of an aggregate. Its text is the part of the stream's name after the category.
///
/// Implemented for [`Uuid`], and in one line for a newtype around one.
pub trait AggregateId: Clone + Display + Send + Sync + 'static {
    /// An id for an aggregate whose command named none: derived from the command id, so that a repeated command
    /// means the same aggregate.
    fn from_uuid(id: Uuid) -> Self;
}

impl AggregateId for Uuid {
    fn from_uuid(id: Uuid) -> Self {
        id
    }
}

/// A consistency boundary: state rebuilt from one stream of events.
///
/// `apply` is total: it names every variant, refuses nothing, and knows no rule. What has happened has happened.
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// The first part of its streams' names: `account` in `account-7f3…`. Without `-`.
    const CATEGORY: &'static str;
    /// What tells two of them apart.
    type Id: AggregateId;
    /// What can happen to it.
    type Event: Event;
    /// How it says no.
    type Rejection: Rejection;

    /// Folds one fact into the state.
    fn apply(&mut self, event: &Self::Event);
}

/// A pure decision: `(state, command, context) → events`, or a rejection. No clock, no chance, no I/O: what it needs
/// of those is in the [`Context`]. No events means: accepted, nothing to do.
pub trait Handle<C>: Aggregate {
    /// Decides.
    ///
    /// # Errors
    /// The aggregate's typed no.
    fn handle(&self, command: &C, context: &Context) -> Result<Events<Self::Event>, Self::Rejection>;
}

/// An imperative request to change one aggregate. Derived by `#[derive(Command)]`.
///
/// `type Aggregate: Handle<Self>` proves at compile time that every command has a handler.
pub trait Command: Message {
    /// Who decides about it.
    type Aggregate: Handle<Self>;

    /// Which aggregate it is for; `None` when the caller left it out, which derives one from the command id.
    fn aggregate_id(&self) -> Option<&<Self::Aggregate as Aggregate>::Id>;

    /// Checks what a type alone cannot say, such as how two fields fit together. Called before the aggregate is
    /// loaded.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    fn validate(&self) -> Result<(), InvalidField> {
        Ok(())
    }
}

/// The stream of an aggregate: its category, `-`, its id.
///
/// # Errors
/// The id's text makes no valid stream name (over 255 bytes, control characters).
pub fn stream_of<A: Aggregate>(id: &A::Id) -> Result<StreamName, InvalidName> {
    StreamName::new(format!("{}-{id}", A::CATEGORY))
}

/// The facts that one decision leads to, in order; possibly none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events<E>(Vec<E>);

impl<E> Events<E> {
    /// One fact, as a type of its own or as the event it becomes: `Events::one(FundsDeposited { .. })`.
    pub fn one(fact: impl Into<E>) -> Self {
        Self(vec![fact.into()])
    }

    /// Accepted, nothing to do.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The facts as a slice.
    pub fn as_slice(&self) -> &[E] {
        &self.0
    }

    /// The facts themselves.
    pub fn into_vec(self) -> Vec<E> {
        self.0
    }
}

impl<E> From<E> for Events<E> {
    fn from(event: E) -> Self {
        Self(vec![event])
    }
}

impl<E> From<Vec<E>> for Events<E> {
    fn from(events: Vec<E>) -> Self {
        Self(events)
    }
}

impl<E, const N: usize> From<[E; N]> for Events<E> {
    fn from(events: [E; N]) -> Self {
        Self(events.into())
    }
}
