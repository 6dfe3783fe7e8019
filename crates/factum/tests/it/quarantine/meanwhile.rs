//! A message is discarded while it is being tried again: what is live and what is filled anew agree.

use factum::testing::{FaultyStore, Interference, StoreCall};
use tokio::sync::Semaphore;

use super::*;

/// How often others get their turn before it is believed that they wait.
const TURNS: usize = 1_000;

/// A discard and a retry of the same key, each on its own.
struct Operators {
    quarantine: Arc<Quarantine>,
    first: factum::EventId,
}

impl Operators {
    async fn of(ward: &Ward) -> Self {
        let quarantine = ward.quarantine.clone();
        let first = quarantine.list(1).await.unwrap().remove(0).about.event_id;
        Self { quarantine, first }
    }

    fn discard(&self) -> tokio::task::JoinHandle<Result<Handled, QuarantineError>> {
        let (quarantine, first) = (self.quarantine.clone(), self.first);
        tokio::spawn(
            async move { quarantine.discard("totals", "counter-1", first, because("a robot's"), operator()).await },
        )
    }

    fn retry(&self) -> tokio::task::JoinHandle<Result<Handled, QuarantineError>> {
        let quarantine = self.quarantine.clone();
        tokio::spawn(async move { quarantine.retry("totals", "counter-1", operator()).await })
    }
}

/// The discard is on its way into the event store, and the key is tried again: recorded after the message was applied, it
/// would be missing from every rebuild, and only from those.
#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_a_discard_that_is_being_recorded() {
    for fed in EVERY {
        let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let hooks = (begun.clone(), go.clone());
        let inner: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(9));
        let store = FaultyStore::new(&inner).on(move |call, nth| match (call, nth) {
            (StoreCall::Append, 1) => {
                let (begun, go) = hooks.clone();
                Interference::Before(Box::pin(async move {
                    begun.add_permits(1);
                    go.acquire().await.unwrap().forget();
                    Ok(())
                }))
            }
            _ => Interference::None,
        });
        let mut ward = Ward::deciding(fed, Arc::new(store));
        for by in [1, POISON, 10] {
            ward.raise(1, by).await;
        }
        ward.parks(1, 2).await;
        ward.cured.store(true, Ordering::SeqCst);
        let operators = Operators::of(&ward).await;
        let discarding = operators.discard();
        begun.acquire().await.unwrap().forget();
        let retrying = operators.retry();
        // The clock stands still as long as anybody has something to do.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(ward.begun.load(Ordering::SeqCst), 0, "{fed:?}: applied while its discard is being recorded");
        go.add_permits(1);
        discarding.await.unwrap().unwrap();
        assert_eq!(retrying.await.unwrap().unwrap(), handled(2, 0, None), "one dropped, one applied");
        ward.world.shows(&[11]).await;
        ward.begin_anew().await;
        ward.world.shows(&[11]).await;
    }
}

/// The message is being applied when somebody discards it.
#[tokio::test]
async fn a_discard_waits_for_a_retry_that_applies_the_message() {
    for fed in EVERY {
        let mut ward = Ward::open(fed);
        for by in [1, POISON, 10] {
            ward.raise(1, by).await;
        }
        ward.parks(1, 2).await;
        ward.cured.store(true, Ordering::SeqCst);
        let operators = Operators::of(&ward).await;
        let (applying, begun) = (ward.applying.clone(), ward.begun.clone());
        let (held, hold) = std::sync::mpsc::channel::<()>();
        let holder = std::thread::spawn(move || {
            let guard = applying.lock().unwrap();
            let _ = hold.recv();
            drop(guard);
        });
        // Held from here on.
        eventually(|| ward.applying.try_lock().is_err().then_some(()), || "nobody holds it".to_owned()).await;
        let retrying = operators.retry();
        eventually(|| (begun.load(Ordering::SeqCst) > 0).then_some(()), || "it is not tried".to_owned()).await;
        let discarding = operators.discard();
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
        assert_eq!(ward.decisions.heads().await.unwrap().synced.get(), 1, "{fed:?}: only the retry is recorded");
        drop(held);
        holder.join().unwrap();
        assert_eq!(retrying.await.unwrap().unwrap(), handled(2, 0, None));
        let told = discarding.await.unwrap().unwrap_err();
        assert!(matches!(told, QuarantineError::NotParked { .. }), "{told}");
        ward.world.shows(&[12]).await;
        ward.begin_anew().await;
        ward.world.shows(&[12]).await;
    }
}

/// Nothing is known of what is parked but by the loop that is just away: nobody is told that there is no such handler.
#[tokio::test]
async fn while_its_loop_is_away_a_handler_is_busy_and_not_unknown() {
    for fed in EVERY {
        let mut ward = Ward::open(fed);
        ward.raise(1, POISON).await;
        ward.parks(1, 1).await;
        let first = Operators::of(&ward).await.first;
        ward.stop().await;
        for told in [
            ward.retry("counter-1").await,
            ward.quarantine.discard("totals", "counter-1", first, because("a robot's"), operator()).await,
        ] {
            assert!(matches!(told, Err(QuarantineError::Busy { .. })), "{told:?}");
        }
        let told = ward.quarantine.retry("sums", "counter-1", operator()).await;
        assert!(matches!(told, Err(QuarantineError::UnknownHandler { .. })), "{told:?}");
        assert_eq!(ward.decisions.heads().await.unwrap().synced.get(), 0, "nothing was decided");
        ward.start();
        ward.parks(1, 1).await;
        ward.discard("counter-1").await.unwrap();
    }
}

/// A read model that must not go on is fed by no loop; what it has parked is shown all the same.
#[tokio::test]
async fn what_is_parked_is_listed_while_no_loop_feeds_its_read_model() {
    let read_store: Arc<dyn factum::read::ReadStore> = Arc::new(MemoryReadStore::new());
    let start = |seed| {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(seed));
        let builder = factum::Service::builder("shop", "totals").store(store.clone()).read_store(read_store.clone());
        async move { (store, builder.projects::<OwnTotals>().start().await.unwrap()) }
    };
    let (store, service) = start(1).await;
    raise(store.as_ref(), 1, POISON).await;
    let parks = || service.health().loops().iter().any(|(_, report)| report.parked_keys == 1).then_some(());
    eventually(parks, || format!("{:?}", service.health().loops())).await;
    service.stop(crate::world::WAIT_MAX).await.unwrap();

    // On another event store than the one it was filled from, it stands still until somebody has looked.
    let (decisions, service) = start(2).await;
    let failed = |report: &factum::runtime::StatusReport| report.state == factum::runtime::LoopState::Failed;
    let has_ended = || service.health().loops().iter().any(|(_, report)| failed(report)).then_some(());
    eventually(has_ended, || format!("{:?}", service.health().loops())).await;
    let quarantine = service.quarantine();
    let [one] = &quarantine.list(10).await.unwrap()[..] else { panic!("one key") };
    assert_eq!((one.handler.as_str(), one.about.key.as_str()), ("totals", "counter-1"));
    for told in [
        quarantine.retry("totals", "counter-1", operator()).await,
        quarantine.discard("totals", "counter-1", one.about.event_id, because("a robot's"), operator()).await,
    ] {
        assert!(matches!(told, Err(QuarantineError::Busy { .. })), "{told:?}");
    }
    let told = quarantine.retry("totals", "counter-2", operator()).await;
    assert!(matches!(told, Err(QuarantineError::NotParked { .. })), "{told:?}");
    assert_eq!(decisions.heads().await.unwrap().synced.get(), 0, "nothing was decided");
    service.stop(crate::world::WAIT_MAX).await.unwrap();
}
