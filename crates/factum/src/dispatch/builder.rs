//! Puts a dispatcher together.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    CommandDispatcher,
    dispatcher::Core,
    registry::{self, AnyCommand},
    turns::Turns,
};
use crate::{
    model::Command,
    principal::{AllowAll, Authorize},
    relay::{self, DynPublication, Publication},
    runtime::Runtime,
    store::EventStore,
};

/// How often a command is decided before it is given up as contended, unless told otherwise.
const ATTEMPTS_MAX_DEFAULT: u32 = 10;

/// Puts a [`CommandDispatcher`] together.
#[must_use = "a builder does nothing until `build`"]
pub struct CommandDispatcherBuilder {
    store: Arc<dyn EventStore>,
    service: String,
    runtime: Runtime,
    policy: Arc<dyn Authorize>,
    attempts_max: u32,
    commands: Vec<Box<dyn AnyCommand>>,
    publications: Vec<DynPublication>,
}

/// Why a dispatcher or service cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two commands, or two queries, share a wire name.
    #[error("two {what} are called `{name}`: wire names are unique within a service")]
    DuplicateName {
        /// `commands`, `queries`, `projections` or `topics`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A category holds the character that ends it in a stream's name.
    #[error("`{0}` is no category: 1 to 64 lower case letters, digits and `_`")]
    InvalidCategory(String),
    /// A query reads a projection that does not run in this service.
    #[error("query `{query}` reads {projection}, which is not registered in this service")]
    ProjectionNotRegistered {
        /// The query.
        query: &'static str,
        /// The projection and its version.
        projection: String,
    },
}

impl CommandDispatcherBuilder {
    pub(super) fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            service: "service".to_owned(),
            runtime: Runtime::tokio(),
            policy: Arc::new(AllowAll),
            attempts_max: ATTEMPTS_MAX_DEFAULT,
            commands: Vec::new(),
            publications: Vec::new(),
        }
    }

    /// Registers a command. That its aggregate handles it is proven at compile time.
    pub fn handles<C: Command>(mut self) -> Self {
        self.commands.push(registry::erase::<C>());
        self
    }

    /// Names the service: command keys are derived for it, so that two services never share one.
    pub fn service(mut self, name: &str) -> Self {
        name.clone_into(&mut self.service);
        self
    }

    /// Decides who may send which commands; without it everybody may send all.
    pub fn authorize(mut self, policy: impl Authorize) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Names a publication, so that receipts' tokens can be waited for behind the bus.
    pub fn publishes<P: Publication>(self) -> Self {
        self.publication(relay::erase::<P>())
    }

    pub(crate) fn publication(mut self, publication: DynPublication) -> Self {
        self.publications.push(publication);
        self
    }

    /// Where time and chance come from.
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// How often a command is decided before it is given up as contended; at least once. 10 by default.
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts.max(1);
        self
    }

    /// Builds the dispatcher.
    ///
    /// # Errors
    /// Two commands share a name, or a category is not well-formed.
    pub fn build(self) -> Result<CommandDispatcher, BuildError> {
        let mut commands = BTreeMap::new();
        for command in self.commands {
            let info = command.info();
            check_category(info.category)?;
            if commands.insert(info.name, command).is_some() {
                return Err(BuildError::DuplicateName { what: "commands", name: info.name.to_owned() });
            }
        }
        let core = Core {
            service: self.service,
            source: self.store.identity().source(),
            store: self.store,
            runtime: self.runtime,
            policy: self.policy,
            publications: self.publications,
            turns: Turns::new(),
            attempts_max: self.attempts_max,
        };
        Ok(CommandDispatcher { core: Arc::new(core), commands: Arc::new(commands) })
    }
}

fn check_category(category: &str) -> Result<(), BuildError> {
    let fits = (1..=64).contains(&category.len())
        && category.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits { Ok(()) } else { Err(BuildError::InvalidCategory(category.to_owned())) }
}
