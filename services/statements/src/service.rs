//! The service put together: one read database, one read surface.

use std::{path::PathBuf, sync::Arc};

use factum::{
    Service,
    bus::Bus,
    service::{ServiceBuilder, StartError},
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

/// Where the service keeps its data, and what it listens on.
pub struct Config {
    /// Its own folder; the read database is `read.db` in it.
    pub data: PathBuf,
    /// What the read surface listens on; bound before the service starts, so that a port in use leaves no traces.
    pub listener: Bound,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The read database cannot be opened.
    #[error(transparent)]
    ReadStore(#[from] OpenError),
    /// The parts do not fit together.
    #[error(transparent)]
    Start(#[from] StartError),
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

/// Starts the service on a bus.
///
/// # Errors
/// The read database has a newer format or cannot be opened now; a damaged one is put aside.
pub async fn service(config: Config, bus: Arc<dyn Bus>) -> Result<Service, ServiceError> {
    let read_store =
        Arc::new(SqliteReadStore::open_or_start_over(config.data.join("read.db"), SqliteOptions::default())?);
    let mut service = builder().read_store(read_store).bus(bus).start().await?;
    config.listener.serve_queries(&mut service);
    Ok(service)
}
