//! Puts a service together.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Service, loops,
    started::{Started, of_topics},
};
use crate::{
    bus::Bus,
    dispatch::{BuildError, CommandDispatcher, CommandDispatcherBuilder, Streams, check_category},
    forks::Forks,
    model::{Command, ProcessManager, Projection, ProjectionKey, Query},
    principal::Authorize,
    process::Managed,
    projections::{self, DynProjection, Feed, Turns, Watermarks},
    quarantine::Quarantine,
    query::{QueryDispatcher, QueryDispatcherBuilder},
    reactor::{self, DynReactor, Reactor},
    read::ReadStore,
    receiver::{DeadLetters, Takes, outcomes},
    relay::{self, DynPublication, Publication},
    runtime::Runtime,
    store::EventStore,
};

type OnCommands = Box<dyn FnOnce(CommandDispatcherBuilder) -> CommandDispatcherBuilder + Send>;
type OnQueries = Box<dyn FnOnce(QueryDispatcherBuilder) -> QueryDispatcherBuilder + Send>;

/// Puts a [`Service`] together: what it handles, publishes, folds and answers, and on which stores and bus.
#[must_use = "a builder does nothing until `start`"]
pub struct ServiceBuilder {
    system: String,
    name: String,
    version: String,
    runtime: Runtime,
    store: Option<Arc<dyn EventStore>>,
    read_store: Option<Arc<dyn ReadStore>>,
    bus: Option<Arc<dyn Bus>>,
    on_commands: Vec<OnCommands>,
    on_queries: Vec<OnQueries>,
    publications: Vec<DynPublication>,
    processes: Vec<Managed>,
    receives: Vec<(String, Takes)>,
    reactors: Vec<DynReactor>,
    projections: Vec<(DynProjection, Feed)>,
    queries: Vec<(&'static str, &'static [ProjectionKey])>,
    commands: bool,
    shares_stores: bool,
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its parts do not fit together.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Something it was told to do needs a part it was not given.
    #[error("the service {service} has {what} but no {missing}: give the builder one")]
    Missing {
        /// The service.
        service: String,
        /// What needs the part.
        what: &'static str,
        /// The part.
        missing: &'static str,
    },
}

impl ServiceBuilder {
    pub(super) fn new(system: &str, name: &str) -> Self {
        Self {
            system: system.to_owned(),
            name: name.to_owned(),
            version: "0.0.0".to_owned(),
            runtime: Runtime::tokio(),
            store: None,
            read_store: None,
            bus: None,
            on_commands: Vec::new(),
            on_queries: Vec::new(),
            publications: Vec::new(),
            processes: Vec::new(),
            receives: Vec::new(),
            reactors: Vec::new(),
            projections: Vec::new(),
            queries: Vec::new(),
            commands: false,
            shares_stores: false,
        }
    }

    /// Its version, for its documents: `env!("CARGO_PKG_VERSION")`. `0.0.0` by default.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// The event store: for commands, publications, and projections on the own store.
    pub fn store(mut self, store: Arc<dyn EventStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// The read database: for projections and queries.
    pub fn read_store(mut self, read_store: Arc<dyn ReadStore>) -> Self {
        self.read_store = Some(read_store);
        self
    }

    /// The bus: for publications, and projections of topics.
    pub fn bus(mut self, bus: Arc<dyn Bus>) -> Self {
        self.bus = Some(bus);
        self
    }

    /// Where time, chance, tasks and threads come from.
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// Other instances of the service have the same stores: one of them works, the others stand by.
    ///
    /// An instance that starts displaces the one that works, whose loops stand down. They return when the other stops,
    /// or has not renewed its lease for [`LEASE_LASTS`](super::LEASE_LASTS). Without this, a loop that was displaced
    /// stands down for good. Stores that one process has for itself, as the embedded ones, have no use for it.
    pub const fn shares_stores(mut self) -> Self {
        self.shares_stores = true;
        self
    }

    /// Handles a command.
    pub fn handles<C: Command>(mut self) -> Self {
        self.commands = true;
        self.on_commands.push(Box::new(|commands| commands.handles::<C>()));
        self
    }

    /// Publishes events as messages on a topic.
    pub fn publishes<P: Publication>(mut self) -> Self {
        self.publications.push(relay::erase::<P>());
        self
    }

    /// All that the service publishes: events, the outcomes of commands it receives, the commands its processes send. For
    /// tools that compare topics with a store.
    pub fn publications(&self) -> Vec<DynPublication> {
        let channels = self.processes.iter().flat_map(|process| &process.channels);
        let outcomes = (!self.receives.is_empty()).then(|| outcomes(&self.system, &self.name));
        self.publications.iter().chain(channels).cloned().chain(outcomes).collect()
    }

    /// Runs a process manager: it hears what is on its topics, sends what its events ask for on its channels, and its
    /// timers fire.
    pub fn manages<P: ProcessManager>(mut self) -> Self {
        self.processes.push(Managed::of::<P>());
        self
    }

    /// Takes commands from another service over the bus: those that `takes` names, and no others. What becomes of each
    /// is recorded and published; the outcomes that are no events of an aggregate on
    /// `<system>.<service>.outcome.events`.
    ///
    /// ```no_run
    /// # use factum::{Command, Service, service::ServiceBuilder};
    /// # fn receive<HoldFunds: Command, ReleaseHold: Command>(builder: ServiceBuilder) -> ServiceBuilder {
    /// builder.receives_from("transfers", |commands| commands.takes::<HoldFunds>().takes::<ReleaseHold>())
    /// # }
    /// ```
    pub fn receives_from(mut self, sender: &str, takes: impl FnOnce(Takes) -> Takes) -> Self {
        self.receives.push((sender.to_owned(), takes(Takes::default())));
        self
    }

    /// Lets a reactor have effects outside. Refilling or rebuilding read models does not reach it.
    pub fn reacts(mut self, reactor: impl Reactor) -> Self {
        self.reactors.push(reactor::erase(reactor));
        self
    }

    /// Folds the service's own events into a read model.
    pub fn projects<P: Projection>(mut self) -> Self {
        self.projections.push((projections::erase::<P>(), Feed::OwnStore));
        self
    }

    /// Folds messages of topics into a read model.
    pub fn consumes<P: Projection>(mut self, topics: &[&str]) -> Self {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        self.projections.push((projections::erase::<P>(), Feed::Topics(topics)));
        self
    }

    /// Answers a query.
    pub fn answers<Q: Query>(mut self) -> Self {
        self.queries.push((Q::NAME, Q::READS));
        self.on_queries.push(Box::new(|queries| queries.answers::<Q>()));
        self
    }

    /// Answers a query by an older form of it, until what the newer one reads is whole: for the deployment of a new
    /// version of a projection, beside which the older version goes on being fed.
    ///
    /// ```text
    /// .consumes::<v1::Totals>(&[TOPIC]).answers_until_whole::<v1::GetTotal>() // to be removed with a later deployment
    /// .consumes::<Totals>(&[TOPIC]).answers::<GetTotal>()
    /// ```
    pub fn answers_until_whole<Q: Query>(mut self) -> Self {
        self.queries.push((Q::NAME, Q::READS));
        self.on_queries.push(Box::new(|queries| queries.answers_until_whole::<Q>()));
        self
    }

    /// Decides who may send which commands; without it everybody may send all.
    pub fn authorize_commands(mut self, policy: impl Authorize) -> Self {
        self.on_commands.push(Box::new(|commands| commands.authorize(policy)));
        self
    }

    /// Decides who may ask which queries; without it everybody may ask all.
    pub fn authorize_queries(mut self, policy: impl Authorize) -> Self {
        self.on_queries.push(Box::new(|queries| queries.authorize(policy)));
        self
    }

    /// Builds the dispatchers and starts the loops.
    ///
    /// # Errors
    /// The parts do not fit together, or one is missing.
    pub async fn start(self) -> Result<Service, StartError> {
        self.check()?;
        let watermarks = Arc::new(Watermarks::new(self.runtime.clone()));
        let handles_commands = self.commands || !self.receives.is_empty();
        let (senders, taken): (Vec<_>, Vec<_>) =
            self.receives.into_iter().map(|(sender, takes)| (sender, takes.commands)).unzip();
        let Self {
            system, name, version, runtime, store, read_store, bus, on_commands, on_queries, publications, ..
        } = self;
        let (commands, received) = match (&store, handles_commands) {
            (Some(store), true) => {
                let mut builder = CommandDispatcher::builder(Arc::clone(store)).service(&name).runtime(runtime.clone());
                for publication in &publications {
                    builder = builder.publication(Arc::clone(publication));
                }
                for process in &self.processes {
                    builder = builder.decider(process.category, process.aggregate);
                }
                let builder = on_commands.into_iter().fold(builder, |builder, on| on(builder));
                let (commands, received) = builder.build_with(taken)?;
                (Some(commands), received)
            }
            _ => (None, Vec::new()),
        };
        let queries = match (&read_store, on_queries.is_empty()) {
            (Some(read_store), false) => {
                let mut builder =
                    QueryDispatcher::builder(Arc::clone(read_store), Arc::clone(&watermarks)).runtime(runtime.clone());
                if let Some(store) = &store {
                    builder = builder.own_store(store.identity());
                }
                Some(on_queries.into_iter().fold(builder, |builder, on| on(builder)).build()?)
            }
            _ => None,
        };
        let streams = match (&commands, &store) {
            (Some(commands), _) => Some(Arc::clone(commands.streams())),
            (None, store) => {
                let with = |store| Arc::new(Streams::with_defaults(Arc::clone(store), runtime.clone()));
                store.as_ref().map(with)
            }
        };
        let quarantine = Arc::new(Quarantine::new(store.clone(), runtime.clone()));
        let dead_letters = Arc::new(DeadLetters::new(store.clone(), runtime.clone()));
        let (service, turns) = (name, Turns::default());
        let forks = Arc::new(Forks::new(store.clone(), bus.clone(), runtime.clone()));
        let parts = loops::Parts {
            system,
            service,
            runtime,
            store,
            read_store,
            bus,
            watermarks,
            quarantine,
            forks,
            dead_letters,
            turns,
        };
        let mut started = Started::new(version, commands, queries, parts);
        if self.shares_stores {
            started.lease().await;
        }
        publications.into_iter().for_each(|publication| started.relay(publication));
        started.receivers(senders.into_iter().zip(received));
        for process in self.processes {
            started.process(&process, streams.as_ref().expect("checked: processes need an event store"));
        }
        for reactor in self.reactors {
            started.reactor(reactor).await;
        }
        started.read_models(self.projections);
        started.0.health.started();
        Ok(started.0)
    }

    /// Every part that something needs is there, and names are unique.
    fn check(&self) -> Result<(), StartError> {
        let needs = [
            ("commands", self.commands, "event store", self.store.is_none()),
            ("publications", !self.publications.is_empty(), "event store", self.store.is_none()),
            ("publications", !self.publications.is_empty(), "bus", self.bus.is_none()),
            ("process managers", !self.processes.is_empty(), "event store", self.store.is_none()),
            ("process managers", self.processes.iter().any(Managed::talks), "bus", self.bus.is_none()),
            ("reactors", !self.reactors.is_empty(), "event store", self.store.is_none()),
            ("reactors to topics", self.reactors.iter().any(of_topics), "bus", self.bus.is_none()),
            ("received commands", !self.receives.is_empty(), "event store", self.store.is_none()),
            ("received commands", !self.receives.is_empty(), "bus", self.bus.is_none()),
            ("projections of its own events", self.has_feed(true), "event store", self.store.is_none()),
            ("projections of topics", self.has_feed(false), "bus", self.bus.is_none()),
            ("projections", !self.projections.is_empty(), "read store", self.read_store.is_none()),
            ("queries", !self.queries.is_empty(), "read store", self.read_store.is_none()),
        ];
        if let Some((what, _, missing, _)) = needs.into_iter().find(|(_, needed, _, absent)| *needed && *absent) {
            return Err(StartError::Missing { service: self.name.clone(), what, missing });
        }
        unique("topics", self.publications().iter().map(|publication| publication.topic().to_owned()))?;
        unique("senders", self.receives.iter().map(|(sender, _)| sender.clone()))?;
        self.processes.iter().try_for_each(|process| check_category(process.category))?;
        unique("process managers", self.processes.iter().map(|process| process.category.to_owned()))?;
        unique("reactors", self.reactors.iter().map(|reactor| reactor.name().to_owned()))?;
        unique("projections", self.projections.iter().map(|(projection, _)| projection.key().to_string()))?;
        let registered: BTreeSet<_> = self.projections.iter().map(|(projection, _)| projection.key()).collect();
        for (query, reads) in &self.queries {
            if let Some(missing) = reads.iter().find(|projection| !registered.contains(*projection)) {
                return Err(BuildError::ProjectionNotRegistered { query, projection: missing.to_string() }.into());
            }
        }
        Ok(())
    }

    fn has_feed(&self, own: bool) -> bool {
        self.projections.iter().any(|(_, feed)| (*feed == Feed::OwnStore) == own)
    }
}

fn unique(what: &'static str, names: impl Iterator<Item = String>) -> Result<(), BuildError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(BuildError::DuplicateName { what, name });
        }
    }
    Ok(())
}
