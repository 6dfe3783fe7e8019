//! A projection of any type, fed with undecoded events.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    model::{DecodeError, Decoded, Delivery, Event, Projection, ProjectionKey, RawEvent},
    read::{ReadError, ReadTransaction},
    runtime::panic_text,
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

impl ApplyError {
    /// Whether trying again may help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Read(ReadError::Unavailable(_)))
    }
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
        let event = match P::Event::decode(raw)? {
            Decoded::Known(event) => event,
            Decoded::Unknown => return Ok(()),
        };
        // A panic in one projection must not take the loops of the others with it; the transaction is rolled back.
        catch_unwind(AssertUnwindSafe(|| P::default().project(&event, delivery, tx)))
            .map_err(|payload| ApplyError::Panicked(panic_text(payload.as_ref())))?
            .map_err(ApplyError::Read)
    }
}
