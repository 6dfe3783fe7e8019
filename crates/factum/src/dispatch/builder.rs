//! Puts a dispatcher together.

use std::{any::TypeId, collections::BTreeMap, sync::Arc};

use super::{
    CommandDispatcher,
    cache::{CACHED_AGGREGATES_MAX_DEFAULT, CACHED_BYTES_MAX_DEFAULT, Cache},
    dispatcher::Core,
    registry::{self, AnyCommand},
    streams::{ATTEMPTS_MAX_DEFAULT, Streams},
};
use crate::{
    bus::LINEAGE_MAX,
    forks::FORK_CATEGORY,
    model::Command,
    principal::{AllowAll, Authorize},
    process::TIMER_CATEGORY,
    quarantine::QUARANTINE_CATEGORY,
    receiver::{DEAD_LETTER_CATEGORY, OUTCOME_CATEGORY},
    relay::{self, DynPublication, Publication},
    runtime::Runtime,
    store::{EventStore, Fork, Identity, Position},
    token::{Token, TopicMark},
};

/// Categories of streams that are not decided on by aggregates.
const RESERVED_CATEGORIES: [&str; 5] =
    [TIMER_CATEGORY, OUTCOME_CATEGORY, DEAD_LETTER_CATEGORY, QUARANTINE_CATEGORY, FORK_CATEGORY];

/// Puts a [`CommandDispatcher`] together.
#[must_use = "a builder does nothing until `build`"]
pub struct CommandDispatcherBuilder {
    store: Arc<dyn EventStore>,
    service: String,
    runtime: Runtime,
    policy: Arc<dyn Authorize>,
    attempts_max: u32,
    cached_aggregates_max: usize,
    cached_bytes_max: usize,
    commands: Vec<Box<dyn AnyCommand>>,
    publications: Vec<DynPublication>,
    deciders: Vec<(&'static str, TypeId)>,
}

/// Why a dispatcher or service cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two things of a kind share a name.
    #[error("two {what} are called `{name}`: such names are unique within a service")]
    DuplicateName {
        /// `commands`, `queries`, `projections`, `topics`; `aggregates` or `process managers` by their category.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A category holds the character that ends it in a stream's name.
    #[error("`{0}` is no category: 1 to 64 lower case letters, digits and `_`")]
    InvalidCategory(String),
    /// A category of streams that the framework itself writes.
    #[error("`{0}` is a category of Factum's own streams: take another one")]
    ReservedCategory(String),
    /// The tokens of receipts name every topic, and would be longer than anybody reads.
    #[error("tokens would have up to {bytes} bytes, the limit is {}: publish on fewer topics", Token::TEXT_BYTES_MAX)]
    TokenTooLong {
        /// The longest token, in bytes of text.
        bytes: usize,
    },
    /// A query reads a projection that does not run in this service.
    #[error("query `{query}` reads {projection}, which is not registered in this service")]
    ProjectionNotRegistered {
        /// The query.
        query: &'static str,
        /// The projection and its version.
        projection: String,
    },
    /// An older form of a query is registered, and no newer one of that name.
    #[error("an older form of the query `{query}` is registered, but no newer one that it could answer for")]
    NothingNewer {
        /// The query.
        query: &'static str,
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
            cached_aggregates_max: CACHED_AGGREGATES_MAX_DEFAULT,
            cached_bytes_max: CACHED_BYTES_MAX_DEFAULT,
            commands: Vec::new(),
            publications: Vec::new(),
            deciders: Vec::new(),
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

    /// Says that streams of a category are decided on by this type, too.
    pub(crate) fn decider(mut self, category: &'static str, aggregate: TypeId) -> Self {
        self.deciders.push((category, aggregate));
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

    /// How many aggregates' states are kept between commands, so that their streams need not be read again; the least
    /// recently used gives way. 10,000 by default; 0 reads every stream for every command.
    pub const fn cached_aggregates_max(mut self, aggregates: usize) -> Self {
        self.cached_aggregates_max = aggregates;
        self
    }

    /// How many bytes the states kept between commands may take; the least recently used gives way. 128 MiB by default.
    /// What a state takes is not known: it counts as much as the documents of its events, at most 1 MiB. Size it for
    /// states that keep everything that ever happened to them.
    pub const fn cached_bytes_max(mut self, bytes: usize) -> Self {
        self.cached_bytes_max = bytes;
        self
    }

    /// Builds the dispatcher.
    ///
    /// # Errors
    /// Two commands share a name or two aggregates a category, a category is not well-formed, or there are too many
    /// topics.
    pub fn build(self) -> Result<CommandDispatcher, BuildError> {
        self.build_with(Vec::new()).map(|(own, _)| own)
    }

    /// Builds the dispatcher, and others beside it that share its states, each with commands of its own. The tokens of
    /// those name no topics.
    pub(crate) fn build_with(
        self,
        others: Vec<Vec<Box<dyn AnyCommand>>>,
    ) -> Result<(CommandDispatcher, Vec<CommandDispatcher>), BuildError> {
        let mut aggregates = BTreeMap::new();
        let all = self.commands.iter().chain(others.iter().flatten());
        let handling = all.map(|command| (command.category(), command.aggregate()));
        for (category, aggregate) in self.deciders.into_iter().chain(handling) {
            check_category(category)?;
            // Two types folding the same streams would read each other's events.
            if *aggregates.entry(category).or_insert(aggregate) != aggregate {
                return Err(BuildError::DuplicateName { what: "aggregates", name: category.to_owned() });
            }
        }
        let commands = by_name(self.commands)?;
        check_token(self.store.identity(), &self.publications)?;
        let cache = Cache::new(self.cached_aggregates_max, self.cached_bytes_max);
        let streams = Arc::new(Streams::new(self.store, self.runtime, cache, self.attempts_max));
        let core = |publications| {
            let (service, policy, streams) = (self.service.clone(), Arc::clone(&self.policy), Arc::clone(&streams));
            Arc::new(Core { service, source: streams.store.identity().source(), streams, policy, publications })
        };
        // Nobody waits for what came over the bus: no token says where it is published.
        let (own, of_others) = (core(self.publications), core(Vec::new()));
        let dispatcher =
            |core: &Arc<Core>, commands| CommandDispatcher { core: Arc::clone(core), commands: Arc::new(commands) };
        let others = others
            .into_iter()
            .map(|commands| by_name(commands).map(|them| dispatcher(&of_others, them)))
            .collect::<Result<_, _>>()?;
        Ok((dispatcher(&own, commands), others))
    }
}

fn by_name(commands: Vec<Box<dyn AnyCommand>>) -> Result<BTreeMap<&'static str, Box<dyn AnyCommand>>, BuildError> {
    let mut named = BTreeMap::new();
    for command in commands {
        let name = command.name();
        if named.insert(name, command).is_some() {
            return Err(BuildError::DuplicateName { what: "commands", name: name.to_owned() });
        }
    }
    Ok(named)
}

pub(crate) fn check_category(category: &str) -> Result<(), BuildError> {
    if RESERVED_CATEGORIES.contains(&category) {
        return Err(BuildError::ReservedCategory(category.to_owned()));
    }
    let fits = (1..=64).contains(&category.len())
        && category.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits { Ok(()) } else { Err(BuildError::InvalidCategory(category.to_owned())) }
}

/// The longest token there can be must be one that is read back, also after many restores.
fn check_token(store: &Identity, publications: &[DynPublication]) -> Result<(), BuildError> {
    let longest = |publication: &DynPublication| TopicMark {
        topic: publication.topic().to_owned(),
        partition: publication.partitions(),
        position: u64::MAX,
    };
    let topics = publications.iter().map(longest).collect();
    let forks = vec![Fork { parent: store.incarnation, position: Position::MAX }; LINEAGE_MAX];
    let token = Token::of(&Identity { forks, ..store.clone() }, Position::MAX, topics);
    let bytes = token.to_string().len();
    if bytes > Token::TEXT_BYTES_MAX { Err(BuildError::TokenTooLong { bytes }) } else { Ok(()) }
}
