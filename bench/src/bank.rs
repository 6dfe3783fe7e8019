//! Both services of the bank in this process, as the bank starts them, and requests to them.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use accounts::domain::{DepositFunds, OpenAccount};
use anyhow::{Context as _, Result};
use factum::{
    Service,
    bus::{Bus, LocalBus, LocalBusOptions},
    dispatch::CommandOptions,
    service::STOP_LIMIT_DEFAULT,
    store::{EngineOptions, EngineStore},
};
use factum_http::Server;
use uuid::Uuid;

use crate::load;

/// Both services, on one local bus.
pub struct InProcess {
    /// The write side.
    pub accounts: Service,
    /// Where it listens.
    pub accounts_at: SocketAddr,
    /// The read side.
    pub statements: Service,
    /// Where it listens.
    pub statements_at: SocketAddr,
    bus: Arc<dyn Bus>,
}

impl InProcess {
    /// Starts both on data in this directory.
    ///
    /// # Errors
    /// Those of the services.
    pub async fn start(data: &Path) -> Result<Self> {
        let bus: Arc<dyn Bus> = Arc::new(LocalBus::open(data.join("bus"), LocalBusOptions::default())?);
        let any = ([127, 0, 0, 1], 0).into();
        let listener = Server::bind(any).await?;
        let accounts_at = listener.local_addr();
        let config = accounts::Config { data: data.join("accounts"), listener, webhook: None };
        let accounts = accounts::service(config, Arc::clone(&bus)).await?;
        let listener = Server::bind(any).await?;
        let statements_at = listener.local_addr();
        let config = statements::Config { data: data.join("statements"), listener };
        let statements = statements::service(config, Arc::clone(&bus)).await?;
        Ok(Self { accounts, accounts_at, statements, statements_at, bus })
    }

    /// Opens accounts.
    ///
    /// # Errors
    /// Those of the dispatcher.
    pub async fn open(&self, accounts: &[Uuid]) -> Result<()> {
        open(&self.accounts, accounts).await?;
        self.settled().await
    }

    /// Waits until the read side shows everything.
    ///
    /// # Errors
    /// A loop has ended, or it takes too long.
    pub async fn settled(&self) -> Result<()> {
        let services = [&self.accounts, &self.statements];
        let settled = factum::testing::settle(&services);
        Ok(tokio::time::timeout(SETTLE_LIMIT, settled).await.context("the read side does not catch up")??)
    }

    /// Stops both.
    ///
    /// # Errors
    /// What did not stop cleanly.
    pub async fn stop(self) -> Result<()> {
        for service in [self.accounts, self.statements] {
            stop(service).await?;
        }
        Ok(self.bus.close().await?)
    }
}

/// The accounts service with nothing to publish to: what commands cost by themselves.
pub struct WriteSide {
    /// The service.
    pub service: Service,
    /// Where it listens.
    pub at: SocketAddr,
}

impl WriteSide {
    /// Starts it on data in this directory, with these accounts.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn start(data: &Path, accounts: &[Uuid]) -> Result<Self> {
        let store = EngineStore::open(data.join("events"), EngineOptions::default())?;
        let builder = Service::builder("bank", "accounts").store(Arc::new(store));
        let mut service = builder.handles::<OpenAccount>().handles::<DepositFunds>().start().await?;
        let listener = Server::bind(([127, 0, 0, 1], 0).into()).await?;
        let at = listener.local_addr();
        listener.serve_commands(&mut service);
        open(&service, accounts).await?;
        Ok(Self { service, at })
    }

    /// Stops it.
    ///
    /// # Errors
    /// What did not stop cleanly.
    pub async fn stop(self) -> Result<()> {
        stop(self.service).await
    }
}

async fn open(service: &Service, accounts: &[Uuid]) -> Result<()> {
    for account in accounts {
        service
            .commands()
            .dispatch_named("open-account", opening(account).as_bytes(), CommandOptions::default())
            .await?;
    }
    Ok(())
}

async fn stop(service: Service) -> Result<()> {
    service.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| anyhow::anyhow!(unclean.join("; ")))
}

/// Longer than any catching up that is still a result.
const SETTLE_LIMIT: Duration = Duration::from_secs(300);

/// As many accounts.
pub fn account_ids(count: usize) -> Vec<Uuid> {
    // As random as real ones.
    (0..count as u64).map(|number| Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes())).collect()
}

/// A request for the summary of each account.
pub fn summaries(accounts: &[Uuid]) -> Arc<Vec<Vec<u8>>> {
    let path = |account| format!("/queries/account-summary?account_id={account}");
    Arc::new(accounts.iter().map(|account| load::get(&path(account))).collect())
}

/// A deposit for each account.
pub fn deposits(accounts: &[Uuid]) -> Arc<Vec<Vec<u8>>> {
    let request = |account| load::post("/commands/deposit-funds", &deposit(account));
    Arc::new(accounts.iter().map(request).collect())
}

/// The body of an opening.
pub fn opening(account: &Uuid) -> String {
    format!(r#"{{"account_id":"{account}","holder":"Ada Lovelace","currency":"EUR"}}"#)
}

/// The body of a deposit.
pub fn deposit(account: &Uuid) -> String {
    format!(r#"{{"account_id":"{account}","amount":"1.25","currency":"EUR"}}"#)
}
