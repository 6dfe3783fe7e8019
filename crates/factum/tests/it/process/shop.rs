//! The order service at work, on a clock that a test moves, beside services that take payments and keep carts.

use std::{borrow::Cow, sync::Arc, time::Duration};

use factum::{
    ActorId, CorrelationId, Delivery, Event, EventId, Message, MessageType, OutgoingMessage, Publication, Service,
    StreamName, Timestamp,
    bus::{Bus, MemoryBus},
    runtime::{Driver, LoopState, ManualClock, Runtime, StatusReport, Task},
    service::settle,
    store::{
        Append, BoxFuture, Direction, EventStore, ExpectedVersion, MemoryStore, Metadata, NewEvent, Position, Selection,
    },
    testing::NOW,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CARTS, CheckedOut, OUTCOMES, Order, PAY, PAYMENTS, PaymentTaken, PlaceOrder};
use crate::world::within;

/// Waits from this long on are waited for; shorter ones are over at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Short waits, between two attempts, are over at once and take their time; long ones wait until the clock is moved.
#[derive(Clone)]
struct Moved(ManualClock);

impl Driver for Moved {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        self.0.spawn(task)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = self.0.clone();
        if duration >= PATIENCE {
            return clock.sleep(duration);
        }
        Box::pin(async move {
            tokio::task::yield_now().await;
            clock.advance(duration);
        })
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.0.blocking(work)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "shop.payments.payment-taken.v1")]
struct PaymentTakenV1 {
    amount: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "shop.carts.checked-out.v1")]
struct CheckedOutV1 {
    order: Uuid,
    amount: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "factum.command-refused.v1")]
struct RefusedV1 {
    code: String,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentRefused {
    pub code: String,
}

/// What happens at the others'.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum OtherEvent {
    #[factum(name = "payment.taken")]
    Taken(PaymentTaken),
    #[factum(name = "payment.refused")]
    Refused(PaymentRefused),
    #[factum(name = "cart.checked-out")]
    CheckedOut(CheckedOut),
}

macro_rules! published {
    ($name:ident, $topic:expr, $message:ty, $translate:expr) => {
        struct $name;

        impl Publication for $name {
            const TOPIC: &'static str = $topic;
            const PARTITIONS: u32 = 3;
            const MESSAGES: &'static [MessageType] = &[MessageType::of::<$message>()];
            type Event = OtherEvent;

            fn translate(event: &OtherEvent, _: &Delivery) -> Option<OutgoingMessage> {
                let translate: fn(&OtherEvent) -> Option<$message> = $translate;
                translate(event).map(|message| Self::outgoing(&message))
            }
        }
    };
}

published!(Payments, PAYMENTS, PaymentTakenV1, |event| match event {
    OtherEvent::Taken(PaymentTaken { amount }) => Some(PaymentTakenV1 { amount: *amount }),
    _ => None,
});
published!(Outcomes, OUTCOMES, RefusedV1, |event| match event {
    OtherEvent::Refused(PaymentRefused { code }) => Some(RefusedV1 { code: code.clone(), message: code.clone() }),
    _ => None,
});
published!(Carts, CARTS, CheckedOutV1, |event| match event {
    OtherEvent::CheckedOut(CheckedOut { order, amount }) => Some(CheckedOutV1 { order: *order, amount: *amount }),
    _ => None,
});

/// Everything that outlives the services.
#[derive(Clone)]
pub struct Shop {
    pub store: Arc<dyn EventStore>,
    pub others: Arc<dyn EventStore>,
    pub bus: Arc<dyn Bus>,
    pub clock: ManualClock,
    pub runtime: Runtime,
}

impl Shop {
    pub fn new() -> Self {
        let clock = Runtime::manual(1).1;
        Self {
            store: Arc::new(MemoryStore::seeded(1)),
            others: Arc::new(MemoryStore::seeded(2)),
            bus: Arc::new(MemoryBus::new()),
            runtime: Runtime::new(Arc::new(Moved(clock.clone()))),
            clock,
        }
    }

    pub async fn orders(&self) -> Service {
        let builder = Service::builder("shop", "orders").store(Arc::clone(&self.store)).bus(Arc::clone(&self.bus));
        builder.runtime(self.runtime.clone()).handles::<PlaceOrder>().manages::<Order>().start().await.unwrap()
    }

    /// The same on its own clock.
    pub fn on_its_clock(self) -> Self {
        Self { runtime: Runtime::new(Arc::new(Moved(self.clock.clone()))), ..self }
    }

    /// The others, which publish what is recorded in their store.
    pub async fn others(&self) -> Service {
        let builder = Service::builder("shop", "others").store(Arc::clone(&self.others)).bus(Arc::clone(&self.bus));
        let builder = builder.publishes::<Payments>().publishes::<Outcomes>().publishes::<Carts>();
        builder.runtime(self.runtime.clone()).start().await.unwrap()
    }

    /// Something happens at the others', because of the payment of an order.
    pub async fn happens(&self, order: Uuid, event: impl Into<OtherEvent>) {
        let (event, mut data) = (event.into(), Vec::new());
        event.encode(&mut data);
        let head = self.others.heads().await.unwrap().synced;
        let id = EventId::from_uuid(Uuid::new_v5(&Uuid::nil(), &head.get().to_be_bytes()));
        let new = NewEvent { id, name: Cow::Borrowed(event.name()), schema: 1, tags: Vec::new(), data };
        let metadata = Metadata {
            correlation_id: CorrelationId::from_uuid(order),
            causation_id: None,
            actor: ActorId::system(),
            bus_command: (!matches!(event, OtherEvent::CheckedOut(_))).then(|| format!("order-{order}/{PAY}").into()),
        };
        let stream = StreamName::new(format!("payment-{order}")).unwrap();
        let append = Append::new(metadata, NOW).stream(stream, ExpectedVersion::Any, vec![new]);
        self.others.append(append).await.unwrap();
    }

    pub async fn place(&self, orders: &Service, order: Uuid) {
        orders.commands().dispatch(PlaceOrder { order, amount: 5 }).await.unwrap();
    }

    /// What happened to an order, by the names of its events without the category.
    pub async fn story(&self, order: Uuid) -> Vec<String> {
        let own = format!("order-{order}");
        let all = self.store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 10_000).await.unwrap();
        let events = all.events.iter().filter(|event| event.stream.as_str() == own);
        events.map(|event| event.name.trim_start_matches("order.").to_owned()).collect()
    }

    /// How often timers have fired.
    pub async fn fired(&self) -> usize {
        let all = self.store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 100_000).await.unwrap();
        all.events.iter().filter(|event| &*event.name == "timer.fired").count()
    }
}

/// What a loop of a service shows.
pub fn shown(service: &Service, name: &str) -> StatusReport {
    let loops = service.health().loops();
    let found = loops.iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name} among {loops:?}")).1.clone()
}

pub async fn settled(services: &[&Service]) {
    within(settle(services)).await.unwrap();
    for service in services {
        for (name, report) in service.health().loops() {
            assert_eq!((report.state, &report.alarms.len()), (LoopState::Live, &0), "{name}: {report:?}");
        }
    }
}
