//! What a process hears is recorded once, whatever happens on the way.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum::{
    ActorId, ChannelSpec, Context, CorrelationId, Delivery, Effects, Event, EventId, Events, Input, ProcessManager,
    Service, StreamName, Version,
    bus::{Envelope, NOTHING_TO_DO_NAME, Origin, REFUSED_NAME, TopicPartition, TopicSpec},
    dispatch::{At, CommandDispatcher, load},
    model::Aggregate,
    process::{HearError, Heard, Hearer},
    service::{STOP_LIMIT_DEFAULT, StartError},
    store::{Direction, EventStore, MemoryStore, Position, RecordedEvent, Selection, StoreError},
    testing::{Fault, FaultyStore, Interference, NOW, SOURCE, StoreCall},
};
use uuid::Uuid;

use crate::world::{eventually, impatient, within};

use super::{
    CARTS, CheckedOut, OUTCOMES, Order, OrderMessage, PAY, PAYMENTS, POISON, PaymentTaken, PlaceOrder, SHIP,
    shop::{Shop, shown},
};

const ORDER: Uuid = Uuid::from_u128(7);

/// A message as it comes over the bus; its number tells it from others.
fn told(number: u64, name: &str, data: &str, command_id: Option<&str>) -> Envelope {
    Envelope {
        id: EventId::from_uuid(Uuid::from_u128(u128::from(number))),
        origin: Origin { system: "shop".into(), service: "payments".into(), source: SOURCE },
        name: name.to_owned(),
        stream: StreamName::new("payment-1").unwrap(),
        key: StreamName::new("payment-1").unwrap(),
        version: Version::new(number),
        recorded_at: NOW,
        position: Position::new(number),
        previous: Position::new(number - 1),
        lineage: Vec::new(),
        command_id: command_id.map(Into::into),
        correlation_id: CorrelationId::from_uuid(Uuid::from_u128(3)),
        causation_id: None,
        actor: ActorId::new("ada").unwrap(),
        data: data.to_owned().into(),
    }
}

fn message(number: u64, message: impl Into<OrderMessage>, command_id: Option<&str>) -> Envelope {
    let (message, mut data) = (message.into(), Vec::new());
    message.encode(&mut data);
    told(number, message.name(), &String::from_utf8(data).unwrap(), command_id)
}

fn checked_out(number: u64, amount: u64) -> Envelope {
    message(number, CheckedOut { order: ORDER, amount }, None)
}

fn id_of(step: &str) -> String {
    format!("order-{ORDER}/{step}")
}

fn memory() -> Arc<dyn EventStore> {
    Arc::new(MemoryStore::seeded(1))
}

pub fn hearer(store: &Arc<dyn EventStore>) -> Hearer<Order> {
    Hearer::new(Arc::clone(store), impatient())
}

/// That an order is paid.
pub fn paid(order: Uuid) -> Envelope {
    message(1, PaymentTaken { amount: 5 }, Some(&format!("order-{order}/{PAY}")))
}

async fn recorded(store: &dyn EventStore) -> Vec<RecordedEvent> {
    store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1_000).await.unwrap().events
}

async fn names(store: &dyn EventStore) -> Vec<String> {
    recorded(store).await.iter().map(|event| event.name.to_string()).collect()
}

#[tokio::test]
async fn what_is_told_twice_is_recorded_once() {
    let store = memory();
    let (paid, shipped) = (
        message(2, PaymentTaken { amount: 5 }, Some(&id_of(PAY))),
        told(3, NOTHING_TO_DO_NAME, "{}", Some(&id_of(SHIP))),
    );
    for heard in [Heard::Recorded, Heard::Nothing, Heard::Nothing] {
        // Each time by a process that starts anew.
        let hearer = hearer(&store);
        for envelope in [&checked_out(1, 5), &paid, &shipped] {
            assert_eq!(hearer.hear(envelope).await.unwrap(), heard);
        }
    }
    assert_eq!(names(store.as_ref()).await, ["order.placed", "order.paid", "order.shipped"]);
    assert_eq!(load::<Order>(store.as_ref(), &ORDER, At::Latest).await.unwrap().state, Order::Shipped);
}

#[tokio::test]
async fn what_is_recorded_says_what_caused_it() {
    let store = memory();
    hearer(&store).hear(&checked_out(1, 5)).await.unwrap();
    let placed = &recorded(store.as_ref()).await[0];
    assert_eq!(placed.stream.as_str(), format!("order-{ORDER}"));
    assert_eq!(placed.metadata.causation_id, Some(Uuid::from_u128(1)));
    assert_eq!(placed.metadata.correlation_id, CorrelationId::from_uuid(Uuid::from_u128(3)));
    assert_eq!(placed.metadata.actor.as_str(), "ada");
    assert_eq!(placed.metadata.bus_command, None);
    assert!(placed.command_id.is_some());
}

#[tokio::test]
async fn what_is_for_nobody_here_changes_nothing() {
    let store = memory();
    let hearer = hearer(&store);
    let strange = [
        // Names nobody here knows, or that say nothing by themselves.
        told(1, "shop.payments.payment-refunded.v1", "no document", None),
        told(2, REFUSED_NAME, r#"{"code":"a","message":"b"}"#, None),
        told(3, NOTHING_TO_DO_NAME, "{}", None),
        // Commands of others, or of nobody.
        told(4, NOTHING_TO_DO_NAME, "{}", Some("invoice-1/pay")),
        told(5, NOTHING_TO_DO_NAME, "{}", Some("order")),
        message(6, PaymentTaken { amount: 5 }, Some("orders-1/pay")),
        message(7, PaymentTaken { amount: 5 }, None),
        // A process that is not there.
        told(8, NOTHING_TO_DO_NAME, "{}", Some(&id_of(PAY))),
        told(9, REFUSED_NAME, r#"{"code":"a","message":"b"}"#, Some(&id_of(PAY))),
        message(10, PaymentTaken { amount: 5 }, Some(&id_of(PAY))),
        // What answers a command begins nothing.
        message(11, CheckedOut { order: ORDER, amount: 5 }, Some(&id_of(PAY))),
    ];
    for envelope in &strange {
        assert_eq!(hearer.hear(envelope).await.unwrap(), Heard::NotForUs, "{envelope:?}");
    }
    hearer.hear(&checked_out(20, 5)).await.unwrap();
    for step in ["never-sent", ""] {
        let envelope = told(21, NOTHING_TO_DO_NAME, "{}", Some(&id_of(step)));
        assert_eq!(hearer.hear(&envelope).await.unwrap(), Heard::Nothing);
    }
    assert_eq!(names(store.as_ref()).await, ["order.placed"]);
}

/// A step whose success has a name that the process does not list would never end, and nothing else says so.
#[tokio::test]
async fn an_answer_that_nobody_hears_is_an_alarm() {
    let reviewed = |number, command: Option<&str>| told(number, "shop.payments.payment-reviewed.v1", "{}", command);
    let hearer = hearer(&memory());
    assert_eq!(hearer.hear(&reviewed(1, Some(&id_of(PAY)))).await.unwrap(), Heard::Unheard);
    for of_others in [None, Some("booking-1/pay")] {
        assert_eq!(hearer.hear(&reviewed(2, of_others)).await.unwrap(), Heard::NotForUs);
    }

    let shop = Shop::new();
    let topics = [PAYMENTS, OUTCOMES, CARTS].map(|topic| TopicSpec::new(topic, 3).unwrap());
    shop.bus.ensure_topics(&topics).await.unwrap();
    let orders = shop.orders().await;
    shop.place(&orders, ORDER).await;
    let records = [reviewed(1, Some(&id_of(PAY))), reviewed(2, Some("order-8/pay")), paid(ORDER)];
    let mut producer = shop.bus.producer().await.unwrap();
    for (number, message) in (1..).zip(records) {
        let message = Envelope { position: Position::new(number), previous: Position::new(number - 1), ..message };
        producer.produce(vec![(TopicPartition::new(PAYMENTS, 0), message.encode())]).await.unwrap();
    }
    let alarms = || Some(shown(&orders, "process order").alarms).filter(|alarms| !alarms.is_empty());
    let alarms: Vec<_> = eventually(alarms, || "no alarm".to_owned()).await.into_iter().collect();
    let told = format!(
        "{} led to `shop.payments.payment-reviewed.v1`, which is not among the messages it hears: list it there",
        id_of(PAY)
    );
    assert_eq!(alarms, [("shop.payments.payment-reviewed.v1".to_owned(), told)]);
    // What follows is heard.
    within(async {
        while shop.story(ORDER).await != ["placed", "paid"] {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_heard_with_its_code() {
    let store = memory();
    let hearer = hearer(&store);
    hearer.hear(&checked_out(1, 5)).await.unwrap();
    let unreadable = told(2, REFUSED_NAME, r#"{"code":7}"#, Some(&id_of(PAY)));
    assert!(matches!(hearer.hear(&unreadable).await, Err(HearError::Unreadable(_))));
    let refused = told(3, REFUSED_NAME, r#"{"code":"no-cover","message":"there is no money"}"#, Some(&id_of(PAY)));
    assert_eq!(hearer.hear(&refused).await.unwrap(), Heard::Recorded);
    let last = recorded(store.as_ref()).await.pop().unwrap();
    assert_eq!((&*last.name, &last.data[..]), ("order.cancelled", br#"{"reason":"no-cover"}"#.as_slice()));
}

#[tokio::test]
async fn a_panic_is_told_and_loses_nothing() {
    let store = memory();
    let hearer = hearer(&store);
    let poison = hearer.hear(&checked_out(1, POISON)).await;
    assert!(matches!(&poison, Err(HearError::Panicked(panic)) if panic.contains("more than an order")), "{poison:?}");
    assert!(!poison.unwrap_err().is_transient());
    assert_eq!(names(store.as_ref()).await, [""; 0]);
    assert_eq!(hearer.hear(&checked_out(2, 5)).await.unwrap(), Heard::Recorded);
}

#[tokio::test]
async fn whoever_is_faster_is_heard_first() {
    let inner = memory();
    let commands = CommandDispatcher::builder(Arc::clone(&inner)).handles::<PlaceOrder>().build().unwrap();
    let first = AtomicBool::new(true);
    let store = FaultyStore::new(&inner).before(move |call, _| {
        let commands = commands.clone();
        let meddles = call == StoreCall::Append && first.swap(false, Ordering::Relaxed);
        async move {
            if meddles {
                commands.dispatch(PlaceOrder { order: ORDER, amount: 9 }).await.unwrap();
            }
            Ok(())
        }
    });
    // The order was not there when that was decided.
    assert_eq!(hearer(&store.shared().1).hear(&checked_out(1, 5)).await.unwrap(), Heard::Nothing);
    assert_eq!(
        recorded(inner.as_ref()).await.iter().map(|event| &event.data[..]).collect::<Vec<_>>(),
        [br#"{"amount":9}"#]
    );
}

#[tokio::test]
async fn whoever_is_always_too_late_gives_up_for_now() {
    let inner = memory();
    let store = FaultyStore::new(&inner).on(|call, _| match call {
        StoreCall::Append => Interference::Before(Box::pin(std::future::ready(Err(Fault::Conflict)))),
        _ => Interference::None,
    });
    let hearer = Hearer::<Order>::new(store.shared().1, impatient());
    let contended = hearer.hear(&checked_out(1, 5)).await.unwrap_err();
    assert!(matches!(contended, HearError::Contended { .. }) && contended.is_transient(), "{contended}");
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_not_repeated() {
    let inner = memory();
    let lost = |nth| {
        move |call, met| match (call, met) {
            (StoreCall::Append, met) if met == nth => {
                let gone = StoreError::Unavailable("the line is dead".into());
                Interference::After(Box::pin(std::future::ready(Err(Fault::Store(gone)))))
            }
            _ => Interference::None,
        }
    };
    let store = FaultyStore::new(&inner).on(lost(1));
    let hearer = hearer(&store.shared().1);
    let unavailable = hearer.hear(&checked_out(1, 5)).await.unwrap_err();
    assert!(unavailable.is_transient(), "{unavailable}");
    assert_eq!(hearer.hear(&checked_out(1, 5)).await.unwrap(), Heard::Nothing);
    assert_eq!(names(inner.as_ref()).await, ["order.placed"]);
}

/// Counts everything it hears, whatever it was told before.
#[derive(Clone, Debug, Default)]
struct Tally(u32);

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Counted {}

#[derive(Clone, Debug, PartialEq, Event)]
enum TallyEvent {
    #[factum(name = "tally.counted")]
    Counted(Counted),
}

impl Aggregate for Tally {
    const CATEGORY: &'static str = "tally";
    type Id = Uuid;
    type Event = TallyEvent;
    type Rejection = std::convert::Infallible;

    fn apply(&mut self, TallyEvent::Counted(_): &TallyEvent) {
        self.0 += 1;
    }
}

impl ProcessManager for Tally {
    type Message = OrderMessage;
    const TOPICS: &'static [&'static str] = &[];
    const CHANNELS: &'static [ChannelSpec] = &[];

    fn correlate(_: &OrderMessage, _: &Delivery) -> Option<Uuid> {
        Some(ORDER)
    }

    fn decide(&self, _: Input<'_, OrderMessage>, _: &Context) -> Events<TallyEvent> {
        Events::one(Counted {})
    }

    fn effects(_: &TallyEvent, _: &Delivery) -> Effects {
        Effects::none()
    }
}

#[tokio::test]
async fn who_neither_hears_nor_sends_needs_no_bus() {
    let service = || Service::builder("shop", "tallies").store(memory());
    let ends = service().manages::<Tally>().start().await.unwrap().stop(STOP_LIMIT_DEFAULT).await;
    assert_eq!(ends, Ok(()));
    let missing = service().manages::<Order>().start().await.err();
    assert!(matches!(missing, Some(StartError::Missing { what: "process managers", missing: "bus", .. })));
}

#[tokio::test]
async fn a_message_counts_once_also_for_who_forgets_what_it_was_told() {
    let store = memory();
    let tally = || Hearer::<Tally>::new(Arc::clone(&store), impatient());
    assert_eq!(tally().hear(&checked_out(1, 5)).await.unwrap(), Heard::Recorded);
    assert_eq!(tally().hear(&checked_out(2, 5)).await.unwrap(), Heard::Recorded);
    let hearer = tally();
    for number in [1, 2, 1] {
        assert_eq!(hearer.hear(&checked_out(number, 5)).await.unwrap(), Heard::Repeated);
    }
    assert_eq!(hearer.hear(&checked_out(3, 5)).await.unwrap(), Heard::Recorded);
    assert_eq!(load::<Tally>(store.as_ref(), &ORDER, At::Latest).await.unwrap().state.0, 3);
}
