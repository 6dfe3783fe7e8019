//! The service put together: one read database, one read surface.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use factum::{Service, bus::Bus, service::StartError};
use factum_http::{BindError, ReadSurface, Server, SurfaceOptions, read_surface};
use factum_sqlite::{OpenError, SqliteOptions, SqliteReadStore};

use crate::{
    messages::ACCOUNT_TOPIC,
    queries::{GetAccountSummary, GetStatement},
    read_models::{AccountSummaries, StatementLines},
};

/// The service's name, in consumer groups, folders and logs.
pub const NAME: &str = "statements";

/// Where the service keeps its data and listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its own folder; the read database is `read.db` in it.
    pub data: PathBuf,
    /// Where the read surface listens.
    pub listen: SocketAddr,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The port cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The read database cannot be opened.
    #[error(transparent)]
    ReadStore(#[from] OpenError),
    /// The parts do not fit together.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Starts the service on a bus.
///
/// # Errors
/// The port is in use, the read database is locked or damaged.
pub async fn service(config: Config, bus: Arc<dyn Bus>) -> Result<Service, ServiceError> {
    let bound = Server::bind(config.listen).await?;
    let read_store = Arc::new(SqliteReadStore::open(config.data.join("read.db"), SqliteOptions::default())?);
    let mut service = Service::builder("bank", NAME)
        .read_store(read_store)
        .bus(bus)
        .consumes::<AccountSummaries>(&[ACCOUNT_TOPIC])
        .consumes::<StatementLines>(&[ACCOUNT_TOPIC])
        .answers::<GetAccountSummary>()
        .answers::<GetStatement>()
        .start()
        .await?;
    let surface = ReadSurface {
        queries: service.queries().clone(),
        health: service.health().clone(),
        options: SurfaceOptions::default(),
    };
    bound.serve_for(&mut service, read_surface(surface));
    Ok(service)
}
