//! The service put together: one event store, one process manager, one write surface.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use factum::{
    Service,
    bus::Bus,
    service::{ServiceBuilder, StartError},
    store::{EngineOptions, EngineStore, OpenError, RestoreError, Restored, StandbyError},
};
use factum_http::Bound;

use crate::{
    domain::{RequestTransfer, Transfer},
    messages::TransferPublication,
    stalled,
};

/// The service's name, in topics, folders and logs.
pub const NAME: &str = "transfers";

/// The folder of its event store, in its own folder.
const EVENTS: &str = "events";

/// Where the service keeps its data, and what it listens on.
pub struct Config {
    /// Its own folder; the events are in `events` below it.
    pub data: PathBuf,
    /// What the write surface listens on; bound before the service starts, so that a port in use leaves no traces.
    pub listener: Bound,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The event store cannot be opened.
    #[error("the event store in {} cannot be opened: {source}{}", folder.display(), advice(source))]
    Store {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The event store was deleted while this process waited for another one to let go of it.
    #[error(transparent)]
    Standby(StandbyError),
    /// The parts do not fit together.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The event store is the only source of truth: nothing else can fill it again.
const fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::Corrupt(_) | OpenError::Identity { .. } => ": restore a backup (`restore --from COPY`)",
        _ => "",
    }
}

/// Why the service's events were not restored.
#[derive(Debug, thiserror::Error)]
#[error("{} was not restored from {}: {source}", folder.display(), copy.display())]
pub struct RestoreFailed {
    /// The folder they should be in.
    pub folder: PathBuf,
    /// The copy of it.
    pub copy: PathBuf,
    source: RestoreError,
}

/// Restores the service's events from a copy of its own folder that was made while it was stopped. The folder of its
/// events must be empty or absent.
///
/// # Errors
/// See [`EngineStore::restore`].
pub fn restore(copy: &Path, data: &Path) -> Result<Restored, RestoreFailed> {
    let (copy, folder) = (copy.join(EVENTS), data.join(EVENTS));
    EngineStore::restore(&copy, &folder, &EngineOptions::default()).map_err(|source| RestoreFailed {
        folder,
        copy,
        source,
    })
}

/// What the service does, without where it keeps anything: [`service`] adds that, and so does a simulation.
pub fn builder() -> ServiceBuilder {
    Service::builder("bank", NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .handles::<RequestTransfer>()
        .publishes::<TransferPublication>()
        .manages::<Transfer>()
}

/// Opens the service's event store, in the service's own folder.
///
/// # Errors
/// [`ServiceError::Store`]: another process has it open, or it is damaged.
pub fn open(data: &Path) -> Result<EngineStore, ServiceError> {
    let folder = data.join(EVENTS);
    EngineStore::open(&folder, EngineOptions::default()).map_err(|source| ServiceError::Store { folder, source })
}

/// Opens it as [`open`] does, once no other process has it open: `waits` is called when it has to wait.
///
/// # Errors
/// [`ServiceError::Store`]: it is damaged. [`ServiceError::Standby`]: it was deleted meanwhile.
pub async fn open_when_free(data: &Path, waits: impl FnOnce()) -> Result<EngineStore, ServiceError> {
    let folder = data.join(EVENTS);
    EngineStore::open_when_free(&folder, EngineOptions::default(), waits).await.map_err(|error| match error {
        StandbyError::Open(source) => ServiceError::Store { folder, source },
        deleted => ServiceError::Standby(deleted),
    })
}

/// Starts the service on a bus.
///
/// # Errors
/// The folder is locked or damaged.
pub async fn service(config: Config, bus: Arc<dyn Bus>) -> Result<Service, ServiceError> {
    let store = open(&config.data)?;
    service_on(store, config, bus).await
}

/// Starts the service on its event store and a bus.
///
/// # Errors
/// The parts do not fit together.
pub async fn service_on(store: EngineStore, config: Config, bus: Arc<dyn Bus>) -> Result<Service, ServiceError> {
    let mut service = builder().store(Arc::new(store)).bus(bus).start().await?;
    stalled::watch(&mut service);
    config.listener.serve_commands(&mut service);
    Ok(service)
}
