//! A service put together: its dispatchers, its loops, and the supervisor that owns them.

mod builder;
mod health;
mod lease;
mod loops;
mod run;
mod settle;
mod started;
mod supervisor;
mod traffic;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

pub use builder::{ServiceBuilder, StartError};
pub use health::{Health, Readiness};

pub use lease::{LEASE_LASTS, LEASE_RENEWED_EVERY};
pub use run::{RunError, stop_asked};
pub use settle::{SettleError, settle};
pub use supervisor::{LoopEnd, RESTARTS_MAX, Stage, StartLoop, Supervisor};
pub use traffic::{ConsumerState, PartitionState, TRAFFIC_PARTITIONS_MAX, TRAFFIC_SOURCES_MAX, TopicState, Traffic};

use crate::{
    consumer::Seen,
    dispatch::CommandDispatcher,
    forks::Forks,
    process::Deadlines,
    projections::Watermarks,
    quarantine::Quarantine,
    query::QueryDispatcher,
    rebuild::ReadModels,
    receiver::DeadLetters,
    relay::Relays,
    runtime::{Runtime, Status},
    store::EventStore,
};

/// How long a service may take to stop, unless told otherwise: longer than a surface waits for its requests.
pub const STOP_LIMIT_DEFAULT: Duration = Duration::from_secs(15);

/// A running service. [`Service::run_until`] runs it to its end, [`Service::stop`] ends it; dropping it stops its loops without waiting for them.
pub struct Service {
    name: String,
    version: String,
    commands: Option<CommandDispatcher>,
    queries: Option<QueryDispatcher>,
    read_models: ReadModels,
    traffic: Traffic,
    health: Health,
    supervisor: Supervisor,
    /// Relays, projections of the own store, timers, reactors to own events.
    own_loops: Vec<Status>,
    /// Topics on which messages have effects here, and what of them was dealt with.
    effects: Vec<(Vec<Arc<str>>, Status, watch::Receiver<Seen>)>,
    /// Of the timers of its process managers, with the loop that keeps them.
    deadlines: Vec<(Status, Deadlines)>,
    parts: loops::Parts,
}

impl Service {
    /// Starts to put a service together: the system it belongs to, and its own name.
    pub fn builder(system: &str, name: &str) -> ServiceBuilder {
        ServiceBuilder::new(system, name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The system it belongs to.
    pub fn system(&self) -> &str {
        &self.parts.system
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Takes commands.
    ///
    /// # Panics
    /// The service handles no command.
    pub const fn commands(&self) -> &CommandDispatcher {
        self.commands.as_ref().expect("this service handles commands")
    }

    /// Answers queries.
    ///
    /// # Panics
    /// The service answers no query.
    pub const fn queries(&self) -> &QueryDispatcher {
        self.queries.as_ref().expect("this service answers queries")
    }

    /// Its event store, where it has one.
    pub const fn store(&self) -> Option<&Arc<dyn EventStore>> {
        self.parts.store.as_ref()
    }

    /// How far its projections are.
    pub const fn watermarks(&self) -> &Arc<Watermarks> {
        &self.parts.watermarks
    }

    /// Its read models, which can be rebuilt while they answer.
    pub const fn read_models(&self) -> &ReadModels {
        &self.read_models
    }

    /// What publishes its events, and sends them again when asked to.
    pub const fn relays(&self) -> &Relays {
        self.traffic.relays()
    }

    /// How far its relays and consumers are on the bus.
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// What its projections have parked, and what to do about it.
    pub const fn quarantine(&self) -> &Arc<Quarantine> {
        &self.parts.quarantine
    }

    /// The forks that its consumers stand at, and what to do about it.
    pub const fn forks(&self) -> &Arc<Forks> {
        &self.parts.forks
    }

    /// What came where commands come and is none, and acknowledging it.
    pub const fn dead_letters(&self) -> &Arc<DeadLetters> {
        &self.parts.dead_letters
    }

    /// What it shows of itself.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Where its time, chance and tasks come from.
    pub const fn runtime(&self) -> &Runtime {
        &self.parts.runtime
    }

    /// Starts one more loop, such as an HTTP listener, and owns it.
    pub fn own(&mut self, stage: Stage, status: Status, start: StartLoop) {
        self.health.watch(status.clone());
        self.supervisor.own(stage, status, start);
    }

    /// Waits until a loop has failed without which the service is nothing, and says why.
    pub async fn failed(&self) -> String {
        self.supervisor.failed().await
    }

    /// Stops: surfaces first, then relays, consumers and projections, within `limit` in total; then closes the stores.
    ///
    /// # Errors
    /// What did not stop cleanly.
    pub async fn stop(self, limit: Duration) -> Result<(), Vec<String>> {
        self.health.stopping();
        let mut unclean = self.supervisor.stop(limit).await.err().unwrap_or_default();
        if let Some(store) = &self.parts.store {
            // Given the whole limit again: whatever the loops took, the last appends deserve their sync.
            match self.parts.runtime.within(limit, store.close()).await {
                Some(Ok(())) => {}
                Some(Err(error)) => unclean.push(error.to_string()),
                None => unclean.push("the event store did not close in time".to_owned()),
            }
        }
        if let Some(read_store) = self.parts.read_store.clone() {
            let closed = self.parts.runtime.blocking(move || read_store.close()).await;
            unclean.extend(closed.map_or_else(|panic| Some(panic.to_string()), |done| Some(done.err()?.to_string())));
        }
        if unclean.is_empty() { Ok(()) } else { Err(unclean) }
    }
}
