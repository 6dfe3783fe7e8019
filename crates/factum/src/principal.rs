//! Who asks, and whether they may.

use factum_engine::StreamName;

use crate::model::ActorId;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The opaque id that goes into metadata.
    pub actor: ActorId,
}

impl Principal {
    /// Somebody who did not say who they are.
    pub fn anonymous() -> Self {
        Self { actor: ActorId::anonymous() }
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// The name of the command or query.
    pub name: &'a str,
    /// The stream of the aggregate a command is for; `None` for queries.
    pub stream: Option<&'a StreamName>,
}

/// The principal may not do that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not permitted")]
pub struct Denied;

/// Decides who may send which commands, or ask which queries. Commands and queries have a policy each.
pub trait Authorize: Send + Sync + 'static {
    /// Allows or denies. Asked before anything is looked up or loaded.
    ///
    /// # Errors
    /// [`Denied`].
    fn authorize(&self, access: Access<'_>) -> Result<(), Denied>;
}

impl<F: Fn(Access<'_>) -> Result<(), Denied> + Send + Sync + 'static> Authorize for F {
    fn authorize(&self, access: Access<'_>) -> Result<(), Denied> {
        self(access)
    }
}

/// The policy that allows everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Authorize for AllowAll {
    fn authorize(&self, _: Access<'_>) -> Result<(), Denied> {
        Ok(())
    }
}
