//! What a reactor is handed to do something outside.

use std::{future::Future, time::Duration};

use crate::{
    model::{Delivery, EffectId, EventId, Timestamp},
    runtime::Runtime,
};

/// The leave to have one effect outside: its id, what it is about, and the time. Only the runtime makes one, and only
/// for [`Reactor::perform`](super::Reactor::perform).
///
/// A projection is not handed one:
/// ```compile_fail,E0050
/// use factum::{prelude::*, reactor::Outside, testing::NoEvent};
///
/// #[derive(Default)]
/// struct Mailing;
///
/// impl Projection for Mailing {
///     const NAME: &'static str = "mailing";
///     const VERSION: u32 = 1;
///     type Event = NoEvent;
///
///     fn project(
///         &self,
///         _: &NoEvent,
///         _: &Delivery,
///         _: &mut dyn ReadTransaction,
///         outside: &Outside,
///     ) -> Result<(), ReadError> {
///         Ok(())
///     }
/// }
/// ```
/// nor can it be built with one, or make one:
/// ```compile_fail,E0277
/// use factum::reactor::Outside;
///
/// #[derive(Default)]
/// struct Mailing {
///     outside: Outside,
/// }
/// ```
#[derive(Debug)]
pub struct Outside {
    id: EffectId,
    delivery: Delivery,
    runtime: Runtime,
}

impl Outside {
    pub(super) const fn new(id: EffectId, delivery: Delivery, runtime: Runtime) -> Self {
        Self { id, delivery, runtime }
    }

    /// The id of the effect: the same however often it is tried. Hand it on, as an idempotency key.
    pub const fn id(&self) -> EffectId {
        self.id
    }

    /// The event that led to it.
    pub const fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.runtime.now()
    }

    /// The result of a future, or `None` when it took longer than `limit`.
    pub async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        self.runtime.within(limit, future).await
    }
}

/// The id of an effect of a reactor.
pub(super) fn effect_id(reactor: &str, event: EventId, index: usize) -> EffectId {
    EffectId::from_uuid(event.derive(&format!("reactor {reactor} {index}")))
}
