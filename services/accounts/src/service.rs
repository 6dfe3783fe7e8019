//! The service put together: one event store, one topic, one write surface.

use std::{path::PathBuf, sync::Arc};

use factum::{
    Service,
    bus::Bus,
    service::StartError,
    store::{EngineOptions, EngineStore, OpenError},
};
use factum_http::{About, Bound, SurfaceOptions, WriteSurface, write_surface};

use crate::{
    domain::{CloseAccount, DepositFunds, OpenAccount, WithdrawFunds},
    messages::AccountPublication,
};

/// The service's name, in topics, folders and logs.
pub const NAME: &str = "accounts";

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
    /// The parts do not fit together.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The event store is the only source of truth: nothing else can fill it again.
const fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::Corrupt(_) | OpenError::Identity { .. } => ": restore a backup",
        _ => "",
    }
}

/// Starts the service on a bus.
///
/// # Errors
/// The folder is locked or damaged.
pub async fn service(config: Config, bus: Arc<dyn Bus>) -> Result<Service, ServiceError> {
    let folder = config.data.join("events");
    let store = EngineStore::open(&folder, EngineOptions::default())
        .map_err(|source| ServiceError::Store { folder, source })?;
    let mut service = Service::builder("bank", NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .store(Arc::new(store))
        .bus(bus)
        .handles::<OpenAccount>()
        .handles::<DepositFunds>()
        .handles::<WithdrawFunds>()
        .handles::<CloseAccount>()
        .publishes::<AccountPublication>()
        .start()
        .await?;
    let surface = WriteSurface {
        commands: service.commands().clone(),
        health: service.health().clone(),
        options: SurfaceOptions { about: About::service(&service), ..SurfaceOptions::default() },
    };
    config.listener.serve_for(&mut service, write_surface(surface));
    Ok(service)
}
