//! Identifiers: newtypes, so that a command id is never taken for an event id.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id made elsewhere.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as a UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }

            /// An id derived (UUID v5, RFC 9562) from this one and a label: the same cause and label give the same
            /// id, so that doing it twice is doing it once.
            pub fn derive(&self, label: &str) -> Uuid {
                Uuid::new_v5(&self.0, label.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// Identifies one request to change one aggregate. The *effective* id of a command: what the store remembers,
    /// already derived from surface, principal, service and the caller's key (see
    /// [`CommandKey`](crate::dispatch::CommandKey)).
    CommandId
);
uuid_id!(
    /// Identifies one recorded event, in every store and on every bus.
    EventId
);
uuid_id!(
    /// Identifies one effect outside. Derived from the reactor, the event and the effect's place among those of the
    /// event, so that repeating it names the same effect: hand it on as an idempotency key.
    EffectId
);
uuid_id!(
    /// Ties together everything that one outside request led to, across services.
    CorrelationId
);
uuid_id!(
    /// Identifies an event store for its whole life, restores included.
    StoreId
);
uuid_id!(
    /// One unbroken history of a store. A restore mints a new one; positions mean something only together with it.
    Incarnation
);

/// Who asked, as an opaque id: no name, no address. At most 128 bytes of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActorId(std::sync::Arc<str>);

impl ActorId {
    /// The longest actor id, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// The actor of requests that carry no identity.
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }

    /// The actor of work a service does on its own behalf.
    pub fn system() -> Self {
        Self("system".into())
    }

    /// An opaque id; `None` when it is empty, longer than [`ActorId::BYTES_MAX`] or not visible ASCII.
    pub fn new(id: &str) -> Option<Self> {
        let fits = !id.is_empty() && id.len() <= Self::BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
