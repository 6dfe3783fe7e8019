//! Which of several instances on the same stores works, and who takes over from it.
//!
//! What keeps two from having one effect are the epochs of the loops; the lease only says when a loop that was
//! displaced may come back, so that two instances that are both alive do not take turns.

mod book;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use uuid::Uuid;

use self::book::{Book, Entry, Refused};
use super::{LoopEnd, StartLoop};
use crate::{
    read::ReadStore,
    runtime::{LoopState, Runtime, Status, Stop},
    store::EventStore,
};

/// How often the holder of a lease renews it; as often others look at it.
pub const LEASE_RENEWED_EVERY: Duration = Duration::from_secs(5);
/// How long a lease lasts that is not renewed. Who waits for it counts in how many looks it saw no change: no clock is
/// asked, which may be set meanwhile, and clocks of machines are never compared.
pub const LEASE_LASTS: Duration = Duration::from_secs(20);
/// After so many looks without a change, a lease has run out.
const LOOKS: u128 = LEASE_LASTS.as_micros() / LEASE_RENEWED_EVERY.as_micros();
/// How long a service that starts waits for its stores to give it the lease, before it starts without.
const FIRST_CLAIM_MAX: Duration = Duration::from_secs(1);

/// The lease of one service, as one instance sees it.
pub(super) struct Lease {
    book: Book,
    owner: Uuid,
    runtime: Runtime,
    status: Status,
    /// How often this instance made sure that it holds it.
    holds: watch::Sender<u64>,
}

impl Lease {
    /// Of a service on an event store, or without one on a read store; `None` where it has neither.
    pub(super) fn new(
        service: &str,
        store: Option<&Arc<dyn EventStore>>,
        read_store: Option<&Arc<dyn ReadStore>>,
        runtime: Runtime,
    ) -> Option<Self> {
        let book = match (store, read_store) {
            (Some(store), _) => Book::events(Arc::clone(store), service),
            (None, Some(read_store)) => Book::reads(Arc::clone(read_store), runtime.clone()),
            (None, None) => return None,
        };
        let (owner, status) = (runtime.new_id(), Status::new(&format!("lease {service}")));
        Some(Self { book, owner, runtime, status, holds: watch::Sender::new(0) })
    }

    pub(super) const fn status(&self) -> &Status {
        &self.status
    }

    /// Tells each time this instance claims or renews it.
    pub(super) fn holds(&self) -> watch::Receiver<u64> {
        self.holds.subscribe()
    }

    /// The loop that holds it, or waits for it. An instance that starts takes it at once, from whoever has it; one that
    /// was displaced waits until it is given back, or is not renewed any more.
    ///
    /// Claims it before this returns, if that can be done soon: before any loop is started that could be displaced.
    pub(super) async fn begin(self) -> StartLoop {
        let lease = Arc::new(self);
        let first = lease.runtime.within(FIRST_CLAIM_MAX, lease.claim()).await;
        let first = Arc::new(std::sync::Mutex::new(first));
        Arc::new(move |stop| {
            let lease = Arc::clone(&lease);
            let first = first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            Box::pin(async move {
                lease.run(first, stop).await;
                LoopEnd::Stopped
            })
        })
    }

    async fn run(&self, mut first: Option<Result<Entry, Refused>>, mut stop: Stop) {
        loop {
            let claimed = match first.take() {
                Some(claimed) => claimed,
                None => match stop.unless(self.claim()).await {
                    Some(claimed) => claimed,
                    None => break,
                },
            };
            let waited = match claimed {
                Ok(mut entry) => {
                    if self.hold(&mut entry, &mut stop).await.is_none() {
                        // Whoever waits need not wait until it runs out.
                        entry.beat = 0;
                        let _ = self.runtime.within(FIRST_CLAIM_MAX, self.book.renew(&mut entry)).await;
                        break;
                    }
                    stop.unless(self.lapsed()).await
                }
                // Another one claimed it at the same time. To claim it once more would only displace that one.
                Err(Refused::Displaced) => stop.unless(self.lapsed()).await,
                Err(refused) => {
                    self.shows(&refused);
                    stop.unless(self.runtime.sleep(LEASE_RENEWED_EVERY)).await
                }
            };
            if waited.is_none() {
                break;
            }
        }
    }

    /// Renews it until somebody else has it; `None`: until told to stop.
    async fn hold(&self, entry: &mut Entry, stop: &mut Stop) -> Option<()> {
        loop {
            stop.unless(self.runtime.sleep(LEASE_RENEWED_EVERY)).await?;
            entry.beat += 1;
            match stop.unless(self.book.renew(entry)).await? {
                Ok(()) => self.held(),
                Err(Refused::Displaced) => {
                    tracing::warn!(lease = self.status.name(), "another instance has taken over");
                    return Some(());
                }
                // It may run out meanwhile. Then another takes over, and this one is told.
                Err(refused) => self.shows(&refused),
            }
        }
    }

    /// Waits until nobody holds it, or whoever does has not renewed it for as long as it lasts.
    async fn lapsed(&self) {
        let (mut seen, mut looks) = (None, 0);
        loop {
            match self.book.look().await {
                Ok(None) => return,
                Ok(found) => {
                    self.show(LoopState::StoodDown, None);
                    looks = if found == seen { looks + 1 } else { 0 };
                    if looks >= LOOKS {
                        return;
                    }
                    seen = found;
                }
                // Nothing can be said of who holds it as long as nobody can write.
                Err(refused) => {
                    self.shows(&refused);
                    looks = 0;
                }
            }
            self.runtime.sleep(LEASE_RENEWED_EVERY).await;
        }
    }

    async fn claim(&self) -> Result<Entry, Refused> {
        let entry = self.book.claim(self.owner).await?;
        self.held();
        Ok(entry)
    }

    fn held(&self) {
        self.holds.send_modify(|holds| *holds += 1);
        self.show(LoopState::Live, None);
    }

    /// Shows why it is not renewed or claimed.
    fn shows(&self, refused: &Refused) {
        tracing::warn!(lease = self.status.name(), error = %refused, "the lease cannot be looked after");
        self.show(LoopState::BackingOff, Some(refused.to_string()));
    }

    fn show(&self, state: LoopState, error: Option<String>) {
        self.status.update(|report| {
            report.state = state;
            report.last_error = error;
        });
    }
}
