//! Who asks: from a request's headers to a principal.

use factum::principal::Principal;
use http::{HeaderMap, HeaderValue};

/// Tells who asks. What they may do is for the dispatchers' [`Authorize`](factum::principal::Authorize) to say.
pub trait Authenticate: Send + Sync + 'static {
    /// The principal a request's headers stand for.
    ///
    /// # Errors
    /// [`Unauthenticated`]: the request is answered 401.
    fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Unauthenticated>;
}

impl<F> Authenticate for F
where
    F: Fn(&HeaderMap) -> Result<Principal, Unauthenticated> + Send + Sync + 'static,
{
    fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Unauthenticated> {
        self(headers)
    }
}

/// The request does not say who asks, or cannot prove it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unauthenticated {
    /// What is missing or wrong, in a sentence for the caller.
    pub reason: String,
    /// How to authenticate, for the `WWW-Authenticate` header (RFC 9110, 11.6.1): `Bearer`.
    pub challenge: HeaderValue,
}

/// Takes everybody for [`Principal::anonymous`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

impl Authenticate for Anonymous {
    fn authenticate(&self, _: &HeaderMap) -> Result<Principal, Unauthenticated> {
        Ok(Principal::anonymous())
    }
}
