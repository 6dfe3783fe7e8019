//! Processes that cannot bear a message or a timer: they are parked, the others flow on, and operators decide.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use factum::{
    ActorId, CorrelationId, EventId, Service, StreamName,
    bus::{Envelope, Origin, TopicPartition, TopicSpec},
    model::{Incarnation, Source, StoreId},
    quarantine::{Handled, Listed, PARKED_KEYS_MAX, QuarantineError},
    runtime::LoopState,
    service::settle,
    store::{Direction, Position, Selection, Version},
    testing::NOW,
};
use uuid::Uuid;

use super::{
    CARTS, CheckedOut, OUTCOMES, PAY_TIME_MAX, PAYMENTS, POISON, PaymentTaken, PlaceOrder, cure,
    shop::{Shop, settled, shown},
};
use crate::{
    faults::{Fault, Faults, faulty, killed_anywhere},
    operator::{because, operator},
    world::{World, eventually, within, world},
};

pub(super) const HANDLER: &str = "process/order";
const HEARING: &str = "process order";
const KEEPER: &str = "timers order";
pub(super) const ORDER: Uuid = Uuid::from_u128(7);
const OTHER: Uuid = Uuid::from_u128(8);

/// An amount that nobody else cures.
pub(super) fn poison() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(2);
    POISON * NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn key(order: Uuid) -> String {
    format!("order-{order}")
}

pub(super) async fn retry(orders: &Service, order: Uuid) -> Result<Handled, QuarantineError> {
    within(orders.quarantine().retry(HANDLER, &key(order), operator())).await
}

pub(super) async fn listed(orders: &Service) -> Vec<Listed> {
    orders.quarantine().list(100).await.unwrap()
}

/// Waits until nothing is under way, whatever is parked.
pub(super) async fn rested(services: &[&Service]) {
    within(settle(services)).await.unwrap();
}

async fn names(shop: &Shop, prefix: &str) -> Vec<String> {
    let all = shop.store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 10_000).await.unwrap();
    let of = all.events.iter().filter(|event| event.stream.as_str().starts_with(prefix));
    of.map(|event| event.name.to_string()).collect()
}

#[tokio::test]
async fn a_process_that_cannot_bear_a_message_is_parked_and_the_others_flow_on() {
    let (shop, amount) = (Shop::new(), poison());
    let (orders, others) = (shop.orders().await, shop.others().await);
    shop.happens(ORDER, CheckedOut { order: ORDER, amount }).await;
    rested(&[&orders, &others]).await;
    shop.happens(ORDER, PaymentTaken { amount: 5 }).await;
    shop.happens(OTHER, CheckedOut { order: OTHER, amount: 5 }).await;
    rested(&[&orders, &others]).await;
    shop.happens(OTHER, PaymentTaken { amount: 5 }).await;
    rested(&[&orders, &others]).await;
    assert_eq!(shop.story(OTHER).await, ["placed", "paid"]);
    assert_eq!(shop.story(ORDER).await, [""; 0]);
    let report = shown(&orders, HEARING);
    assert_eq!((report.state, report.parked_keys, report.parked_messages), (LoopState::Live, 1, 2), "{report:?}");
    assert!(report.alarms["quarantine"].contains("more than an order can bear"), "{report:?}");
    drop(orders);

    // Over a restart, and tried again in vain.
    let orders = shop.orders().await;
    rested(&[&orders, &others]).await;
    let parked = listed(&orders).await;
    let Listed { handler, version, about, .. } = &parked[0];
    assert_eq!((parked.len(), handler.as_str(), *version), (1, HANDLER, None));
    assert_eq!((&about.key, about.messages, about.attempts), (&key(ORDER), 2, 1));
    let handled = retry(&orders, ORDER).await.unwrap();
    assert_eq!((handled.done, handled.left), (0, 2));
    assert!(handled.failed.unwrap().contains("more than an order can bear"));
    assert_eq!(listed(&orders).await[0].about.attempts, 2);
    let shown_messages = orders.quarantine().show(HANDLER, &key(ORDER), None, 10).await.unwrap().remove(0).1.messages;
    let of = |number: usize| (shown_messages[number].name.as_str(), shown_messages[number].data.clone().unwrap());
    assert_eq!(of(0).0, "shop.carts.checked-out.v1");
    assert_eq!(of(1), ("shop.payments.payment-taken.v1", r#"{"amount":5}"#.to_owned()));
    let show = async |after, limit| orders.quarantine().show(HANDLER, &key(ORDER), after, limit).await;
    let (first, second) = (shown_messages[0].event_id, shown_messages[1].event_id);
    assert_eq!(show(None, 1).await.unwrap().remove(0).1.next, Some(first), "the rest begins there");
    let rest = show(Some(first), 1).await.unwrap().remove(0).1;
    assert_eq!((rest.messages[0].event_id, rest.next), (second, None));
    let gone = EventId::from_uuid(ORDER);
    assert!(matches!(show(Some(gone), 1).await, Err(QuarantineError::NotAfter { after, .. }) if after == gone));

    // A fixed build takes them in order.
    cure(amount);
    assert_eq!(retry(&orders, ORDER).await.unwrap(), Handled { done: 2, left: 0, failed: None });
    assert_eq!(shop.story(ORDER).await, ["placed", "paid"]);
    settled(&[&orders, &others]).await;
    assert!(matches!(retry(&orders, ORDER).await, Err(QuarantineError::NotParked { .. })));
    let recorded = names(&shop, "quarantine-process/order.order-").await;
    let expected = ["parked", "parked", "retried", "failed", "retried", "released", "released"]
        .map(|name| format!("quarantine.{name}"));
    assert_eq!(recorded, expected);
}

#[tokio::test]
async fn what_an_operator_discards_is_never_heard_and_the_rest_is() {
    let (shop, amount) = (Shop::new(), poison());
    let (orders, others) = (shop.orders().await, shop.others().await);
    shop.place(&orders, ORDER).await;
    shop.happens(ORDER, PaymentTaken { amount }).await;
    rested(&[&orders, &others]).await;
    shop.happens(ORDER, PaymentTaken { amount: 5 }).await;
    rested(&[&orders, &others]).await;
    let first = listed(&orders).await.remove(0).about.event_id;
    let discard = |event, reason: &'static str| {
        let quarantine = Arc::clone(orders.quarantine());
        async move { quarantine.discard(HANDLER, &key(ORDER), event, because(reason), operator()).await }
    };
    let another = discard(EventId::from_uuid(Uuid::nil()), "no").await;
    assert!(matches!(another, Err(QuarantineError::NotTheFirst { .. })), "{another:?}");
    assert_eq!(discard(first, "paid by a robot").await.unwrap(), Handled { done: 1, left: 1, failed: None });
    assert_eq!(shop.story(ORDER).await, ["placed"], "what stood behind it waits to be tried");
    assert_eq!(listed(&orders).await[0].about.attempts, 0);
    assert_eq!(retry(&orders, ORDER).await.unwrap(), Handled { done: 1, left: 0, failed: None });
    assert_eq!(shop.story(ORDER).await, ["placed", "paid"]);
    drop(orders);
    let orders = shop.orders().await;
    settled(&[&orders, &others]).await;
    assert!(listed(&orders).await.is_empty());
}

/// It is the first in the line of its process; what comes later does not overtake it.
#[tokio::test]
async fn a_timer_that_a_process_cannot_bear_parks_it_and_holds_up_no_other() {
    let (shop, amount) = (Shop::new(), poison());
    let (orders, others) = (shop.orders().await, shop.others().await);
    orders.commands().dispatch(PlaceOrder { order: ORDER, amount }).await.unwrap();
    shop.place(&orders, OTHER).await;
    shop.clock.advance(PAY_TIME_MAX);
    rested(&[&orders, &others]).await;
    assert_eq!(shop.story(OTHER).await, ["placed", "payment-overdue"]);
    shop.happens(ORDER, PaymentTaken { amount: 5 }).await;
    rested(&[&orders, &others]).await;
    assert_eq!(shop.story(ORDER).await, ["placed"]);
    let about = listed(&orders).await.remove(0).about;
    assert_eq!((about.name.as_str(), about.messages), ("timer.due", 2));
    let messages = orders.quarantine().show(HANDLER, &key(ORDER), None, 1).await.unwrap().remove(0).1.messages;
    assert!(messages[0].data.as_ref().unwrap().contains(r#""timer":"pay""#), "{messages:?}");
    drop(orders);
    let orders = shop.orders().await;
    shop.clock.advance(PAY_TIME_MAX);
    rested(&[&orders, &others]).await;
    assert_eq!(shop.fired().await, 1);
    cure(amount);
    assert_eq!(retry(&orders, ORDER).await.unwrap(), Handled { done: 2, left: 0, failed: None });
    assert_eq!(shop.story(ORDER).await, ["placed", "payment-overdue", "paid"]);
    settled(&[&orders, &others]).await;
    assert_eq!(shop.fired().await, 2);
}

#[tokio::test]
async fn a_timer_that_is_discarded_fires_without_a_decision() {
    let (shop, amount) = (Shop::new(), poison());
    let orders = shop.orders().await;
    orders.commands().dispatch(PlaceOrder { order: ORDER, amount }).await.unwrap();
    shop.clock.advance(PAY_TIME_MAX);
    rested(&[&orders]).await;
    let first = listed(&orders).await.remove(0).about.event_id;
    let discarded =
        orders.quarantine().discard(HANDLER, &key(ORDER), first, because("paid in cash"), operator()).await.unwrap();
    assert_eq!(discarded, Handled { done: 1, left: 0, failed: None });
    for _ in 0..2 {
        shop.clock.advance(PAY_TIME_MAX);
        rested(&[&orders]).await;
    }
    settled(&[&orders]).await;
    assert_eq!((shop.story(ORDER).await, shop.fired().await), (vec!["placed".to_owned()], 1));
}

#[tokio::test]
async fn a_timer_of_a_parked_process_waits_until_it_is_free() {
    let (shop, amount) = (Shop::new(), poison());
    let (orders, others) = (shop.orders().await, shop.others().await);
    shop.place(&orders, ORDER).await;
    shop.place(&orders, OTHER).await;
    shop.happens(ORDER, PaymentTaken { amount }).await;
    rested(&[&orders, &others]).await;
    for _ in 0..3 {
        shop.clock.advance(PAY_TIME_MAX);
        rested(&[&orders, &others]).await;
    }
    assert_eq!(shop.story(OTHER).await, ["placed", "payment-overdue"]);
    assert_eq!((shop.story(ORDER).await, shop.fired().await), (vec!["placed".to_owned()], 1));
    assert!(shown(&orders, KEEPER).alarms.is_empty(), "what it waits for is shown where that is parked");
    let first = listed(&orders).await.remove(0).about.event_id;
    orders.quarantine().discard(HANDLER, &key(ORDER), first, because("never paid"), operator()).await.unwrap();
    // At once, not after the waits of who tries again.
    let fires = || async {
        while shop.story(ORDER).await != ["placed", "payment-overdue"] {
            tokio::task::yield_now().await
        }
    };
    within(fires()).await;
    settled(&[&orders, &others]).await;
    assert_eq!(shop.fired().await, 2);
}

const SOURCE: Source =
    Source { store: StoreId::from_uuid(Uuid::from_u128(80)), incarnation: Incarnation::from_uuid(Uuid::from_u128(90)) };

/// Carts on one partition, told by hand.
pub(super) struct Carts {
    pub(super) shop: Shop,
    last: u64,
}

impl Carts {
    pub(super) async fn new() -> Self {
        let shop = Shop::new();
        let topics = [CARTS, PAYMENTS, OUTCOMES].map(|topic| TopicSpec::new(topic, 1).unwrap());
        shop.bus.ensure_topics(&topics).await.unwrap();
        Self { shop, last: 0 }
    }

    /// A message of a cart; its stream is the cart's.
    pub(super) async fn tell(&mut self, cart: &str, data: String) {
        self.last += 1;
        let stream = StreamName::new(format!("cart-{cart}")).unwrap();
        let envelope = Envelope {
            id: EventId::from_uuid(Uuid::from_u128(u128::from(self.last) + 1_000)),
            origin: Origin { system: "shop".into(), service: "carts".into(), source: SOURCE },
            name: "shop.carts.checked-out.v1".to_owned(),
            key: stream.clone(),
            stream,
            version: Version::new(self.last),
            recorded_at: NOW,
            position: Position::new(self.last),
            previous: Position::new(self.last - 1),
            lineage: Vec::new(),
            command_id: None,
            correlation_id: CorrelationId::from_uuid(ORDER),
            causation_id: None,
            actor: ActorId::system(),
            data: data.into(),
        };
        self.put(envelope.encode()).await;
    }

    async fn put(&self, record: factum::bus::NewRecord) {
        let mut producer = self.shop.bus.producer().await.unwrap();
        producer.produce(vec![(TopicPartition::new(CARTS, 0), record)]).await.unwrap();
    }

    pub(super) async fn checks_out(&mut self, cart: &str, order: Uuid, amount: u64) {
        self.tell(cart, format!(r#"{{"order":"{order}","amount":{amount}}}"#)).await;
    }
}

/// It may be for any process: what comes from the same stream after it waits, other streams flow on.
#[tokio::test]
async fn a_message_that_nobody_can_read_parks_the_stream_it_is_of() {
    let mut carts = Carts::new().await;
    let (shop, amount) = (carts.shop.clone(), poison());
    carts.tell("a", "{}".to_owned()).await;
    carts.checks_out("a", ORDER, 5).await;
    carts.checks_out("b", OTHER, amount).await;
    carts.checks_out("a", OTHER, 5).await;
    carts.checks_out("b", Uuid::from_u128(9), 5).await;
    let orders = shop.orders().await;
    rested(&[&orders]).await;
    let parked: Vec<_> = listed(&orders).await.into_iter().map(|key| (key.about.key, key.about.messages)).collect();
    assert_eq!(parked, [("cart-a".to_owned(), 3), (key(OTHER), 1)]);
    assert_eq!(shop.story(ORDER).await, [""; 0]);
    assert_eq!(shop.story(Uuid::from_u128(9)).await, ["placed"]);
    // Let go, what is for a process that is parked stands behind what came before it there.
    let first = listed(&orders).await.remove(0).about.event_id;
    orders.quarantine().discard(HANDLER, "cart-a", first, because("nobody can read it"), operator()).await.unwrap();
    let retried = orders.quarantine().retry(HANDLER, "cart-a", operator()).await.unwrap();
    assert_eq!(retried, Handled { done: 2, left: 0, failed: None });
    assert_eq!(shop.story(ORDER).await, ["placed"]);
    assert_eq!(listed(&orders).await[0].about.messages, 2);
    cure(amount);
    assert_eq!(retry(&orders, OTHER).await.unwrap(), Handled { done: 2, left: 0, failed: None });
    assert_eq!(shop.story(OTHER).await, ["placed"], "the later one met an order that was placed");
    settled(&[&orders]).await;
}

#[tokio::test]
async fn with_no_room_for_one_more_process_the_partition_stands_still_until_there_is() {
    let mut carts = Carts::new().await;
    let (shop, amount) = (carts.shop.clone(), poison());
    for number in 0..=PARKED_KEYS_MAX as u128 {
        carts.checks_out(&number.to_string(), Uuid::from_u128(1_000 + number), amount).await;
    }
    carts.checks_out("x", ORDER, 5).await;
    let orders = shop.orders().await;
    shop.place(&orders, OTHER).await;
    shop.clock.advance(PAY_TIME_MAX);
    let partition = format!("{}", TopicPartition::new(CARTS, 0));
    let stands = || shown(&orders, HEARING).alarms.contains_key(&partition).then_some(());
    eventually(stands, || format!("{:?}", shown(&orders, HEARING))).await;
    let report = shown(&orders, HEARING);
    assert_eq!(report.parked_keys, PARKED_KEYS_MAX as u64);
    assert!(report.alarms[&partition].contains("100 keys are parked already"), "{report:?}");
    // Until what was there is heard, no timer fires: it is said why, and what helps.
    let waits = || shown(&orders, KEEPER).alarms.contains_key("start").then_some(());
    eventually(waits, || format!("{:?}", shown(&orders, KEEPER))).await;
    let alarm = shown(&orders, KEEPER).alarms["start"].clone();
    assert!(alarm.contains(&partition) && alarm.ends_with("decide about what is parked"), "{alarm}");
    assert_eq!((shop.story(OTHER).await, shop.fired().await), (vec!["placed".to_owned()], 0));

    cure(amount);
    retry(&orders, Uuid::from_u128(1_000)).await.unwrap();
    let goes_on = || {
        shop.clock.advance(PAY_TIME_MAX);
        (!shown(&orders, HEARING).alarms.contains_key(&partition)).then_some(())
    };
    eventually(goes_on, || format!("{:?}", shown(&orders, HEARING))).await;
    rested(&[&orders]).await;
    assert_eq!(shop.story(OTHER).await, ["placed", "payment-overdue"]);
    assert_eq!(shop.story(ORDER).await[0], "placed");
    assert!(shown(&orders, KEEPER).alarms.is_empty(), "{:?}", shown(&orders, KEEPER));
}

/// One story: an order comes that its code cannot bear, is paid, and the code is mended; with a fault somewhere, to the
/// service and the operator. Says where it was, if the story was long enough.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let (shop, amount) = (Shop::new(), poison());
    let _others = shop.others().await;
    let faults = Faults::new(at, fault);
    let world = World { store: shop.store.clone(), bus: shop.bus.clone(), ..world().0 };
    let World { store, bus, .. } = faulty(&world, &faults);
    let mortal = Shop { store, bus, ..shop.clone() };
    let mut service: Option<Service> = None;
    let (mut cured, mut dead) = (false, false);
    shop.happens(ORDER, CheckedOut { order: ORDER, amount }).await;
    let ends = async {
        let mut paid = false;
        loop {
            dead |= faults.take_death();
            if dead || service.is_none() {
                drop(service.take());
                dead = false;
                service = Some(mortal.orders().await);
            }
            let parked = names(&shop, "quarantine-").await.iter().filter(|name| *name == "quarantine.parked").count();
            if parked == 1 && !paid {
                shop.happens(ORDER, PaymentTaken { amount: 5 }).await;
                paid = true;
            }
            if parked == 2 && !cured {
                cure(amount);
                cured = true;
            }
            if cured && let Some(service) = &service {
                let key = key(ORDER);
                let asked = service.quarantine().retry(HANDLER, &key, operator());
                let mut asked = std::pin::pin!(asked);
                // Whoever is told that it failed asks again, and so does who is told nothing.
                while !dead {
                    tokio::select! {
                        biased;
                        _ = &mut asked => break,
                        () = tokio::task::yield_now() => dead = faults.take_death(),
                    }
                }
            }
            if shop.story(ORDER).await == ["placed", "paid"] {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within(ends).await;
    let parked = names(&shop, "quarantine-").await;
    assert_eq!(parked.iter().filter(|name| *name == "quarantine.parked").count(), 2, "{parked:?}");
    faults.release();
    faults.site()
}

#[tokio::test]
async fn killed_anywhere_a_parked_process_hears_each_message_once_and_in_order() {
    killed_anywhere(&[("store.append", 4), ("store.read", 1), ("store.advance_progress", 1)], story).await;
}
