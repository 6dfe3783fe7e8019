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
/// How long a lease lasts that is not renewed. Who waits for it measures that with its own clock, from the last change
/// that it saw: clocks of machines are never compared.
pub const LEASE_LASTS: Duration = Duration::from_secs(20);
/// How long a service that starts waits for its stores to give it the lease, before it starts without.
const FIRST_CLAIM_MAX: Duration = Duration::from_secs(1);

/// The lease of one service, as one instance sees it.
pub(super) struct Lease {
    book: Book,
    owner: Uuid,
    runtime: Runtime,
    status: Status,
    /// How often this instance came to hold it.
    claims: watch::Sender<u64>,
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
        Some(Self { book, owner, runtime, status, claims: watch::Sender::new(0) })
    }

    pub(super) const fn status(&self) -> &Status {
        &self.status
    }

    /// Tells each time this instance comes to hold it.
    pub(super) fn claims(&self) -> watch::Receiver<u64> {
        self.claims.subscribe()
    }

    /// The loop that holds it, or waits for it. An instance that starts takes it at once, from whoever has it; one that
    /// was displaced waits until it is given back, or is not renewed any more.
    ///
    /// Claims it before this returns, if that can be done soon: before any loop is started that could be displaced.
    pub(super) async fn begin(self) -> StartLoop {
        let lease = Arc::new(self);
        let first = lease.runtime.within(FIRST_CLAIM_MAX, lease.claim()).await.and_then(Result::ok);
        let first = Arc::new(std::sync::Mutex::new(first));
        Arc::new(move |stop| {
            let lease = Arc::clone(&lease);
            let held = first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            Box::pin(async move {
                lease.run(held, stop).await;
                LoopEnd::Stopped
            })
        })
    }

    async fn run(&self, mut held: Option<Entry>, mut stop: Stop) {
        loop {
            if held.is_none() {
                let wait = match self.claim().await {
                    Ok(entry) => {
                        held = Some(entry);
                        Duration::ZERO
                    }
                    Err(refused) => self.shows(&refused),
                };
                if stop.unless(self.runtime.sleep(wait)).await.is_none() {
                    break;
                }
                continue;
            }
            if let Some(entry) = &mut held
                && self.hold(entry, &mut stop).await.is_none()
            {
                // Whoever waits need not wait until it runs out.
                entry.beat = 0;
                let _ = self.runtime.within(FIRST_CLAIM_MAX, self.book.renew(entry)).await;
                break;
            }
            held = None;
            if stop.unless(self.lapsed()).await.is_none() {
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
                Ok(()) => self.status.update(|report| {
                    report.state = LoopState::Live;
                    report.last_error = None;
                }),
                Err(Refused::Displaced) => {
                    tracing::warn!(lease = self.status.name(), "another instance has taken over");
                    self.status.update(|report| report.state = LoopState::StoodDown);
                    return Some(());
                }
                // It may run out meanwhile. Then another takes over, and this one is told.
                Err(refused) => drop(self.shows(&refused)),
            }
        }
    }

    /// Waits until nobody holds it, or whoever does has not renewed it for as long as it lasts.
    async fn lapsed(&self) {
        let (mut seen, mut since) = (None, self.runtime.now());
        loop {
            match self.book.look().await {
                Ok(None) => return,
                Ok(found) if found == seen => {
                    if self.runtime.now().since(since) >= LEASE_LASTS {
                        return;
                    }
                }
                Ok(found) => (seen, since) = (found, self.runtime.now()),
                // Nothing can be said of who holds it as long as nobody can write.
                Err(refused) => {
                    self.shows(&refused);
                    since = self.runtime.now();
                }
            }
            self.runtime.sleep(LEASE_RENEWED_EVERY).await;
        }
    }

    async fn claim(&self) -> Result<Entry, Refused> {
        let entry = self.book.claim(self.owner).await?;
        self.claims.send_modify(|claims| *claims += 1);
        self.status.update(|report| {
            report.state = LoopState::Live;
            report.last_error = None;
        });
        Ok(entry)
    }

    /// Shows why it is not renewed or claimed; how long to wait before it is tried again.
    fn shows(&self, refused: &Refused) -> Duration {
        tracing::warn!(lease = self.status.name(), error = %refused, "the lease cannot be looked after");
        self.status.update(|report| {
            report.state = LoopState::BackingOff;
            report.last_error = Some(refused.to_string());
        });
        LEASE_RENEWED_EVERY
    }
}
