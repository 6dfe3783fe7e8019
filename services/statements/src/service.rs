//! The service put together: one read database, one small event store, one read surface.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use factum::{
    Service,
    bus::Bus,
    service::{ServiceBuilder, StartError},
    store::{self, EngineOptions, EngineStore, RestoreError, Restored, StandbyError},
};
use factum_http::Bound;
use factum_sqlite::{OpenError, SqliteOptions, SqliteReadStore};

use crate::{
    messages::{ACCOUNT_TOPIC, TRANSFER_TOPIC},
    queries::{GetAccountSummary, GetAccounts, GetDailyTotals, GetStatement, GetTransfer},
    read_models::{AccountSummaries, DailyTotals, StatementLines, Transfers},
};

/// The service's name, in consumer groups, folders and logs.
pub const NAME: &str = "statements";

/// The folder of its event store, in its own folder.
const EVENTS: &str = "events";
/// The size of a full-grown segment: what is recorded is what operators decide, a few events a year.
const SEGMENT_BYTES: u64 = 1 << 20;
/// Memory for blocks of index files, for the same reason.
const INDEX_CACHE_BYTES: usize = 64 << 10;

/// Where the service keeps its data, and what it listens on.
pub struct Config {
    /// Its own folder: the read database is `read.db` in it, and what operators decided about quarantined messages is in
    /// `events` below it.
    pub data: PathBuf,
    /// What the read surface listens on; bound before the service starts, so that a port in use leaves no traces.
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
        source: store::OpenError,
    },
    /// The read database cannot be opened.
    #[error(transparent)]
    ReadStore(#[from] OpenError),
    /// The event store was deleted while this process waited for another one to let go of it.
    #[error(transparent)]
    Standby(StandbyError),
    /// The parts do not fit together.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What operators decided is nowhere else; without it, what they discarded is parked again.
const fn advice(error: &store::OpenError) -> &'static str {
    match error {
        store::OpenError::Corrupt(_) | store::OpenError::Identity { .. } => {
            ": restore a backup (`bank restore --from COPY`), or delete the folder and decide again about what is quarantined"
        }
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

/// Restores what was decided from a copy of the service's own folder that was made while it was stopped. The folder of its
/// events must be empty or absent.
///
/// # Errors
/// See [`EngineStore::restore`].
pub fn restore(copy: &Path, data: &Path) -> Result<Restored, RestoreFailed> {
    let (copy, folder) = (copy.join(EVENTS), data.join(EVENTS));
    EngineStore::restore(&copy, &folder, &store_options()).map_err(|source| RestoreFailed { folder, copy, source })
}

fn store_options() -> EngineOptions {
    EngineOptions::default().segment_bytes(SEGMENT_BYTES).index_cache_bytes(INDEX_CACHE_BYTES)
}

/// What the service does, without where it keeps anything: [`service`] adds that, and so does a simulation.
pub fn builder() -> ServiceBuilder {
    Service::builder("bank", NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .consumes::<AccountSummaries>(&[ACCOUNT_TOPIC])
        .consumes::<StatementLines>(&[ACCOUNT_TOPIC])
        .consumes::<DailyTotals>(&[ACCOUNT_TOPIC])
        .consumes::<Transfers>(&[TRANSFER_TOPIC])
        .answers::<GetAccountSummary>()
        .answers::<GetAccounts>()
        .answers::<GetStatement>()
        .answers::<GetDailyTotals>()
        .answers::<GetTransfer>()
}

/// Opens the service's event store, in the service's own folder.
///
/// # Errors
/// [`ServiceError::Store`]: another process has it open, or it is damaged.
pub fn open(data: &Path) -> Result<EngineStore, ServiceError> {
    let folder = data.join(EVENTS);
    EngineStore::open(&folder, store_options()).map_err(|source| ServiceError::Store { folder, source })
}

/// Opens it as [`open`] does, once no other process has it open: `waits` is called when it has to wait.
///
/// # Errors
/// [`ServiceError::Store`]: it is damaged. [`ServiceError::Standby`]: it was deleted meanwhile.
pub async fn open_when_free(data: &Path, waits: impl FnOnce()) -> Result<EngineStore, ServiceError> {
    let folder = data.join(EVENTS);
    EngineStore::open_when_free(&folder, store_options(), waits).await.map_err(|error| match error {
        StandbyError::Open(source) => ServiceError::Store { folder, source },
        deleted => ServiceError::Standby(deleted),
    })
}

/// Starts the service on a bus.
///
/// # Errors
/// The folder is locked; the event store is damaged. The read database has a newer format or cannot be opened now; a
/// damaged one is put aside.
pub async fn service(config: Config, bus: Arc<dyn Bus>) -> Result<Service, ServiceError> {
    let store = open(&config.data)?;
    service_on(store, config, bus).await
}

/// Starts the service on its event store and a bus.
///
/// # Errors
/// The read database has a newer format or cannot be opened now; a damaged one is put aside.
pub async fn service_on(store: EngineStore, config: Config, bus: Arc<dyn Bus>) -> Result<Service, ServiceError> {
    let read_store =
        Arc::new(SqliteReadStore::open_or_start_over(config.data.join("read.db"), SqliteOptions::default())?);
    let mut service = builder().store(Arc::new(store)).read_store(read_store).bus(bus).start().await?;
    config.listener.serve_queries(&mut service);
    Ok(service)
}
