//! A projection of any type, fed with undecoded events.

use std::borrow::Cow;

use crate::{
    model::{DecodeError, Decoded, Delivery, Event, Projection, ProjectionKey, RawEvent},
    read::{ReadError, ReadTransaction},
    runtime::contained,
};

/// A projection whose type is forgotten.
pub type DynProjection = Box<dyn AnyProjection>;

/// What the loops need of a projection.
pub trait AnyProjection: Send + Sync {
    /// Whose tables and checkpoints.
    fn key(&self) -> ProjectionKey;

    /// Decodes one event and folds it in. Names the projection does not know change nothing.
    ///
    /// # Errors
    /// See [`ApplyError`].
    fn apply(&self, raw: RawEvent<'_>, delivery: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ApplyError>;

    /// See [`Projection::parks_by`].
    fn parks_by<'a>(&self, delivery: &'a Delivery) -> Cow<'a, str> {
        Cow::Borrowed(delivery.stream.as_str())
    }
}

/// Why an event was not folded in.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The event's document cannot be read: it will not get better by trying again.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// `project` panicked: it will not get better by trying again.
    #[error("the projection panicked: {0}")]
    Panicked(String),
    /// `project` or the read store said no.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Forgets the type of a projection. Each call builds the projection anew: it has no state of its own.
pub fn erase<P: Projection>() -> DynProjection {
    Box::new(Erased::<P>(std::marker::PhantomData))
}

struct Erased<P>(std::marker::PhantomData<fn() -> P>);

impl<P: Projection> AnyProjection for Erased<P> {
    fn key(&self) -> ProjectionKey {
        ProjectionKey::of::<P>()
    }

    fn apply(&self, raw: RawEvent<'_>, delivery: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ApplyError> {
        // A panic in one projection must not take the loops of the others with it; the transaction is rolled back.
        let applied = contained(|| match P::Event::decode(raw)? {
            Decoded::Known(event) => P::default().project(&event, delivery, tx).map_err(ApplyError::Read),
            Decoded::Unknown => Ok(()),
        });
        applied.unwrap_or_else(|panic| Err(ApplyError::Panicked(panic)))
    }

    fn parks_by<'a>(&self, delivery: &'a Delivery) -> Cow<'a, str> {
        P::parks_by(delivery)
    }
}
