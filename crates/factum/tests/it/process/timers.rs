//! Timers: they survive restarts, fire once, and not before what was there to be heard is heard.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use factum::{
    ActorId, CorrelationId, EventId, ExpectedVersion, StreamName,
    bus::{Headers, NewRecord, TopicPartition},
    model::Incarnation,
    runtime::{LoopState, Runtime},
    service::STOP_LIMIT_DEFAULT,
    store::{Append, EngineOptions, EngineStore, EventStore, Fork, Identity, Metadata, NewEvent, Position},
    testing::{FaultyStore, NOW, StoreCall},
};
use uuid::Uuid;

use super::{
    CARTS, PAY_TIME_MAX, PaymentTaken,
    hearing::{hearer, paid},
    shop::{PaymentRefused, Shop, settled, shown},
};
use crate::world::eventually;

const ORDER: Uuid = Uuid::from_u128(7);
const MOMENT: Duration = Duration::from_millis(1);
const KEEPER: &str = "timers order";
/// How long lies between two savings of timers.
const SAVING_WAIT: Duration = Duration::from_secs(1);
const HEARING: &str = "process order";

/// Lets whoever could do something do it.
async fn a_while() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_deadline_that_passes_is_told_once_and_the_outcome_decides() {
    let shop = Shop::new();
    let (orders, others) = (shop.orders().await, shop.others().await);
    shop.place(&orders, ORDER).await;
    shop.clock.advance(PAY_TIME_MAX - Duration::from_secs(1));
    settled(&[&orders, &others]).await;
    assert_eq!(shop.story(ORDER).await, ["placed"]);
    shop.clock.advance(Duration::from_secs(1));
    settled(&[&orders, &others]).await;
    assert_eq!(shop.story(ORDER).await, ["placed", "payment-overdue"]);
    shop.happens(ORDER, PaymentTaken { amount: 5 }).await;
    shop.clock.advance(PAY_TIME_MAX * 10);
    settled(&[&orders, &others]).await;
    assert_eq!(shop.story(ORDER).await, ["placed", "payment-overdue", "paid"]);
    assert_eq!(shop.fired().await, 1);
}

#[tokio::test]
async fn a_timer_survives_restarts_and_fires_once() {
    let shop = Shop::new();
    let others = shop.others().await;
    let orders = shop.orders().await;
    shop.place(&orders, ORDER).await;
    settled(&[&orders, &others]).await;
    drop(orders);
    shop.clock.advance(PAY_TIME_MAX);
    for _ in 0..3 {
        let orders = shop.orders().await;
        settled(&[&orders, &others]).await;
        assert_eq!(shop.story(ORDER).await, ["placed", "payment-overdue"]);
    }
    assert_eq!(shop.fired().await, 1);
}

#[tokio::test]
async fn what_was_there_to_be_heard_is_heard_before_a_timer_fires() {
    let shop = Shop::new();
    let others = shop.others().await;
    let orders = shop.orders().await;
    shop.place(&orders, ORDER).await;
    settled(&[&orders, &others]).await;
    drop(orders);
    // While it is down: a record that is no message, then the payment, then the deadline.
    let carts = TopicPartition::new(CARTS, 0);
    let garbage = NewRecord { key: Bytes::new(), headers: Headers::new(), value: Bytes::new(), timestamp: NOW };
    shop.bus.producer().await.unwrap().produce(vec![(carts.clone(), garbage)]).await.unwrap();
    shop.happens(ORDER, PaymentTaken { amount: 5 }).await;
    settled(&[&others]).await;
    shop.clock.advance(PAY_TIME_MAX * 2);
    let orders = shop.orders().await;
    let heard = eventually_told(&shop, &["placed", "paid"]).await;
    assert_eq!(heard, ["placed", "paid"]);
    // Another deadline passes, and still something that was there is not heard.
    let another = Uuid::from_u128(9);
    shop.place(&orders, another).await;
    shop.clock.advance(PAY_TIME_MAX * 2);
    let head = shop.store.heads().await.unwrap().synced;
    let read = || (shown(&orders, KEEPER).position == head).then_some(());
    eventually(read, || format!("{:?}", shown(&orders, KEEPER))).await;
    a_while().await;
    assert_eq!(shown(&orders, KEEPER).state, LoopState::CatchingUp);
    assert_eq!(shop.story(another).await, ["placed"]);
    assert_eq!(shop.fired().await, 0);
    assert!(shown(&orders, HEARING).alarms.contains_key(&carts.to_string()));
    // Which timers wait, for what, and what helps.
    let alarm = shown(&orders, KEEPER).alarms["start"].clone();
    assert!(alarm.starts_with("no timer fires before") && alarm.contains(&carts.to_string()), "{alarm}");
    assert!(alarm.ends_with("deploy a build that reads it"), "{alarm}");
}

/// Waits until an order's story has got this far, and gives it.
async fn eventually_told(shop: &Shop, story: &[&str]) -> Vec<String> {
    for _ in 0..100_000 {
        let told = shop.story(ORDER).await;
        if told.len() >= story.len() {
            return told;
        }
        tokio::task::yield_now().await;
    }
    panic!("{:?} is not {story:?}", shop.story(ORDER).await)
}

/// A timer that was due already woke the keeper again and again while it was still reading on, and each time it let go of
/// what it read: of a store that does not answer at once it never got any further.
#[tokio::test]
async fn a_timer_that_is_due_does_not_keep_its_keeper_from_reading_on() {
    let mut shop = Shop::new();
    let others = shop.others().await;
    let orders = shop.orders().await;
    shop.place(&orders, ORDER).await;
    settled(&[&orders, &others]).await;
    drop(orders);
    let junk = |number: u128| NewEvent {
        id: EventId::from_uuid(Uuid::from_u128(number)),
        name: "junk.found".into(),
        schema: 1,
        tags: Vec::new(),
        data: b"{}".to_vec(),
    };
    let metadata = Metadata {
        correlation_id: CorrelationId::from_uuid(ORDER),
        causation_id: None,
        actor: ActorId::system(),
        bus_command: None,
    };
    for batch in 0..8 {
        let events = (0..100).map(|number| junk(1 + batch * 100 + number)).collect();
        let stream = StreamName::new("junk-1").unwrap();
        let append = Append::new(metadata.clone(), NOW).stream(stream, ExpectedVersion::Any, events);
        shop.store.append(append).await.unwrap();
    }
    shop.clock.advance(PAY_TIME_MAX);
    let slowly = |call, _| async move {
        if call == StoreCall::Read {
            a_while().await;
        }
        Ok(())
    };
    shop.store = FaultyStore::new(&shop.store).before(slowly).shared().1;
    let orders = shop.orders().await;
    settled(&[&orders, &others]).await;
    assert_eq!(shop.story(ORDER).await, ["placed", "payment-overdue"]);
}

#[tokio::test]
async fn an_outcome_that_is_recorded_while_a_timer_fires_goes_first() {
    let mut shop = Shop::new();
    let inner = Arc::clone(&shop.store);
    let outcome = paid(ORDER);
    let meddled = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&meddled);
    let store = FaultyStore::new(&inner).before(move |call, nth| {
        // The first append places the order, the second one is the timer's.
        let meddles = (call, nth) == (StoreCall::Append, 2) && !armed.swap(true, Ordering::Relaxed);
        let (outcome, inner) = (outcome.clone(), Arc::clone(&inner));
        async move {
            if meddles {
                hearer(&inner).hear(&outcome).await.unwrap();
            }
            Ok(())
        }
    });
    shop.store = store.shared().1;
    let orders = shop.orders().await;
    shop.place(&orders, ORDER).await;
    shop.clock.advance(PAY_TIME_MAX);
    settled(&[&orders]).await;
    assert!(meddled.load(Ordering::Relaxed));
    assert_eq!(shop.story(ORDER).await, ["placed", "paid"]);
    assert_eq!(shop.fired().await, 0);
}

#[tokio::test]
async fn a_timer_that_was_cleared_does_not_fire() {
    let shop = Shop::new();
    let (orders, others) = (shop.orders().await, shop.others().await);
    shop.place(&orders, ORDER).await;
    shop.happens(ORDER, PaymentRefused { code: "no-cover".to_owned() }).await;
    settled(&[&orders, &others]).await;
    shop.clock.advance(PAY_TIME_MAX * 2);
    settled(&[&orders, &others]).await;
    assert_eq!(shop.story(ORDER).await, ["placed", "cancelled"]);
    assert_eq!(shop.fired().await, 0);
}

#[tokio::test]
async fn of_two_keepers_the_older_one_stands_down_and_a_timer_fires_once() {
    let shop = Shop::new();
    let first = shop.orders().await;
    settled(&[&first]).await;
    let second = shop.orders().await;
    settled(&[&second]).await;
    for number in 0..1_100 {
        shop.place(&first, Uuid::from_u128(number)).await;
    }
    shop.clock.advance(PAY_TIME_MAX + MOMENT);
    eventually(
        || (shown(&first, KEEPER).state == LoopState::StoodDown).then_some(()),
        || format!("{:?}", shown(&first, KEEPER)),
    )
    .await;
    settled(&[&second]).await;
    assert_eq!(shop.fired().await, 1_100);
    assert_eq!(shop.story(Uuid::from_u128(5)).await, ["placed", "payment-overdue"]);
}

#[tokio::test]
async fn many_that_are_due_at_once_fire_a_few_at_a_time() {
    const ORDERS: u128 = 300;
    const AT_ONCE_MAX: usize = 64;
    let mut shop = Shop::new();
    let under_way = Arc::new(Mutex::new((0_usize, 0_usize)));
    let (begun, ended) = (Arc::clone(&under_way), Arc::clone(&under_way));
    let store = FaultyStore::new(&shop.store)
        .before(move |call, _| {
            if call == StoreCall::Append {
                let mut under_way = begun.lock().unwrap();
                under_way.0 += 1;
                under_way.1 = under_way.1.max(under_way.0);
            }
            async move {
                a_while().await;
                Ok(())
            }
        })
        .after(move |call, _| {
            if call == StoreCall::Append {
                ended.lock().unwrap().0 -= 1;
            }
            std::future::ready(Ok(()))
        });
    let store: Arc<dyn EventStore> = store.shared().1;
    shop.store = store;
    let orders = shop.orders().await;
    for number in 0..ORDERS {
        shop.place(&orders, Uuid::from_u128(number)).await;
    }
    shop.clock.advance(PAY_TIME_MAX);
    settled(&[&orders]).await;
    assert_eq!(shop.fired().await, ORDERS as usize);
    let at_once = under_way.lock().unwrap().1;
    assert!((2..=AT_ONCE_MAX).contains(&at_once), "{at_once} at once");
}

#[tokio::test]
async fn a_clock_that_goes_back_holds_up_only_what_is_not_due() {
    let shop = Shop::new();
    let orders = shop.orders().await;
    shop.place(&orders, ORDER).await;
    shop.clock.advance(PAY_TIME_MAX * 100);
    settled(&[&orders]).await;
    assert_eq!(shop.story(ORDER).await, ["placed", "payment-overdue"]);
    drop(orders);
    // A machine whose clock is far behind takes over.
    let behind = Shop { clock: Runtime::manual(2).1, ..shop.clone() }.on_its_clock();
    let orders = behind.orders().await;
    let another = Uuid::from_u128(8);
    behind.place(&orders, another).await;
    settled(&[&orders]).await;
    assert_eq!(behind.story(another).await, ["placed"]);
    behind.clock.advance(PAY_TIME_MAX);
    settled(&[&orders]).await;
    assert_eq!(behind.story(another).await, ["placed", "payment-overdue"]);
    assert_eq!(behind.fired().await, 2);
}

#[tokio::test]
async fn what_is_saved_of_timers_spares_reading_and_is_left_aside_after_a_restore() {
    const ORDERS: u128 = 700;
    let mut shop = Shop::new();
    let orders = shop.orders().await;
    shop.place(&orders, ORDER).await;
    settled(&[&orders]).await;
    shop.clock.advance(SAVING_WAIT);
    for number in 100..100 + ORDERS {
        shop.place(&orders, Uuid::from_u128(number)).await;
        hearer(&shop.store).hear(&paid(Uuid::from_u128(number))).await.unwrap();
    }
    settled(&[&orders]).await;
    let all = shown(&orders, KEEPER).position.get();
    assert_eq!((shown(&orders, KEEPER).processed, u128::from(all)), (all, 2 * ORDERS + 1));
    drop(orders);

    let inner = Arc::clone(&shop.store);
    let fork = |position| {
        let own = inner.identity();
        let parent = own.incarnation;
        let incarnation = Incarnation::from_uuid(Uuid::from_u128(77));
        Identity { incarnation, forks: vec![Fork { parent, position: Position::new(position) }], ..own.clone() }
    };
    for (identity, spared) in [
        (inner.identity().clone(), true),
        // Restored from a copy as new as what was saved, and from one that is older.
        (fork(all), true),
        (fork(10), false),
    ] {
        shop.store = FaultyStore::new(&inner).named(identity).shared().1;
        let orders = shop.orders().await;
        let keeper = || shown(&orders, KEEPER);
        let read = || (keeper().position.get() >= all).then_some(());
        eventually(read, || format!("{:?}", keeper())).await;
        assert_eq!(keeper().processed < 1_000, spared, "{:?}", keeper());
    }

    // What was saved is what is pending.
    shop.clock.advance(PAY_TIME_MAX);
    let _orders = shop.orders().await;
    assert_eq!(eventually_told(&shop, &["placed", "payment-overdue"]).await, ["placed", "payment-overdue"]);
    assert_eq!(shop.fired().await, 1);
}

#[tokio::test]
async fn a_stop_while_timers_fire_loses_none_on_disk() {
    const ORDERS: u128 = 200;
    const FIRST_AWAY: u64 = ORDERS as u64 + 50;
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::new();
    // Some fire, and then the store is away until everything has stopped.
    let away = || factum::store::StoreError::Unavailable("away".into());
    shop.store = FaultyStore::new(&engine(directory.path())).failing(StoreCall::Append, FIRST_AWAY.., away).shared().1;
    let orders = shop.orders().await;
    for number in 0..ORDERS {
        shop.place(&orders, Uuid::from_u128(number)).await;
    }
    settled(&[&orders]).await;
    shop.clock.advance(PAY_TIME_MAX);
    while shop.fired().await == 0 {
        tokio::task::yield_now().await;
    }
    orders.stop(STOP_LIMIT_DEFAULT).await.unwrap();
    shop.store = engine(directory.path());
    assert!(shop.fired().await < ORDERS as usize, "it stopped in between");
    let orders = shop.orders().await;
    settled(&[&orders]).await;
    assert_eq!(shop.fired().await, ORDERS as usize);
    assert_eq!(shop.story(Uuid::from_u128(ORDERS - 1)).await, ["placed", "payment-overdue"]);
}

fn engine(directory: &Path) -> Arc<dyn EventStore> {
    Arc::new(EngineStore::open(directory, EngineOptions::default()).unwrap())
}

#[tokio::test]
async fn an_event_that_may_mean_a_timer_to_a_newer_build_is_not_passed_over() {
    let shop = Shop::new();
    let orders = shop.orders().await;
    shop.place(&orders, ORDER).await;
    let new = NewEvent {
        id: EventId::from_uuid(Uuid::from_u128(1)),
        name: "order.put-off".into(),
        schema: 1,
        tags: Vec::new(),
        data: b"{}".to_vec(),
    };
    let correlation_id = CorrelationId::from_uuid(ORDER);
    let metadata = Metadata { correlation_id, causation_id: None, actor: ActorId::system(), bus_command: None };
    let stream = StreamName::new(format!("order-{ORDER}")).unwrap();
    let append = Append::new(metadata, NOW).stream(stream, ExpectedVersion::Any, vec![new]);
    shop.store.append(append).await.unwrap();
    shop.clock.advance(PAY_TIME_MAX);
    let failed = || (shown(&orders, KEEPER).state == LoopState::Failed).then_some(());
    eventually(failed, || format!("{:?}", shown(&orders, KEEPER))).await;
    let error = shown(&orders, KEEPER).last_error.unwrap();
    assert!(error.contains("event 2: order-") && error.contains("does not know `order.put-off`"), "{error}");
    assert!(!orders.health().readiness().ready);
    assert_eq!(shop.fired().await, 0);
}
