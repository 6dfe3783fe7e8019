//! Process managers, told with an order: it is placed (by a command, or when a cart is checked out), paid by a deadline,
//! shipped. Payments and parcels are other services' business.

mod faults;
mod hearing;
mod lines;
mod quarantine;
mod shop;
mod stories;
mod timers;

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use factum::{
    ChannelSpec, Command, CommandChannel, Context, Delivery, Effects, Event, Events, Handle, Input, Message,
    MessageType, ProcessManager, Rejection, StreamName, model::Aggregate,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub const PAYMENTS: &str = "shop.payments.payment.events";
pub const OUTCOMES: &str = "shop.payments.outcome.events";
pub const CARTS: &str = "shop.carts.cart.events";
pub const PAY: &str = "pay";
pub const SHIP: &str = "ship";
/// How long a payment may take.
pub const PAY_TIME_MAX: Duration = Duration::from_secs(30);

/// What the order service sends to the payment service.
pub struct PaymentCommands;

impl CommandChannel for PaymentCommands {
    const TOPIC: &'static str = "shop.payments.commands.orders";
    const PARTITIONS: u32 = 3;
    const COMMANDS: &'static [MessageType] = &[MessageType::of::<TakePayment>()];
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "shop.payments.take-payment.v1")]
pub struct TakePayment {
    pub amount: u64,
}

/// What it sends to the shipping service.
pub struct ShippingCommands;

impl CommandChannel for ShippingCommands {
    const TOPIC: &'static str = "shop.shipping.commands.orders";
    const PARTITIONS: u32 = 3;
    const COMMANDS: &'static [MessageType] = &[MessageType::of::<ShipOrder>()];
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "shop.shipping.ship-order.v1")]
pub struct ShipOrder {
    pub order: Uuid,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "place-order", aggregate = Order, id = order)]
pub struct PlaceOrder {
    pub order: Uuid,
    pub amount: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderPlaced {
    pub amount: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentOverdue {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderPaid {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderShipped {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderCancelled {
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Event)]
pub enum OrderEvent {
    #[factum(name = "order.placed")]
    Placed(OrderPlaced),
    #[factum(name = "order.payment-overdue")]
    PaymentOverdue(PaymentOverdue),
    #[factum(name = "order.paid")]
    Paid(OrderPaid),
    #[factum(name = "order.shipped")]
    Shipped(OrderShipped),
    #[factum(name = "order.cancelled")]
    Cancelled(OrderCancelled),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentTaken {
    pub amount: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckedOut {
    pub order: Uuid,
    pub amount: u64,
}

/// What it hears of others.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum OrderMessage {
    #[factum(name = "shop.payments.payment-taken.v1")]
    PaymentTaken(PaymentTaken),
    #[factum(name = "shop.carts.checked-out.v1")]
    CheckedOut(CheckedOut),
}

/// An order, at each of its steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Order {
    #[default]
    Unplaced,
    Paying {
        amount: u64,
        overdue: bool,
    },
    Shipping,
    Shipped,
    Cancelled,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the order was placed before")]
pub struct AlreadyPlaced;

impl Rejection for AlreadyPlaced {
    fn code(&self) -> &'static str {
        "already-placed"
    }
}

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = Uuid;
    type Event = OrderEvent;
    type Rejection = AlreadyPlaced;

    fn apply(&mut self, event: &OrderEvent) {
        *self = match event {
            OrderEvent::Placed(OrderPlaced { amount }) => Self::Paying { amount: *amount, overdue: false },
            OrderEvent::PaymentOverdue(_) => match self {
                Self::Paying { amount, .. } => Self::Paying { amount: *amount, overdue: true },
                _ => return,
            },
            OrderEvent::Paid(_) => Self::Shipping,
            OrderEvent::Shipped(_) => Self::Shipped,
            OrderEvent::Cancelled(_) => Self::Cancelled,
        };
    }
}

impl Handle<PlaceOrder> for Order {
    fn handle(&self, command: &PlaceOrder, _: &Context) -> Result<Events<OrderEvent>, AlreadyPlaced> {
        match self {
            Self::Unplaced => Ok(Events::one(OrderPlaced { amount: command.amount })),
            _ => Err(AlreadyPlaced),
        }
    }
}

/// An amount that the order's code cannot bear, as it cannot any multiple of it.
pub const POISON: u64 = 666;

/// Those that it has learned to bear since.
static CURED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// A fixed build: from now on it can bear this amount.
pub fn cure(amount: u64) {
    CURED.lock().unwrap().insert(amount);
}

fn bear(amount: u64) {
    let bears = !amount.is_multiple_of(POISON) || CURED.lock().unwrap().contains(&amount);
    assert!(bears, "more than an order can bear");
}

impl ProcessManager for Order {
    type Message = OrderMessage;
    const TOPICS: &'static [&'static str] = &[PAYMENTS, OUTCOMES, CARTS];
    const CHANNELS: &'static [ChannelSpec] =
        &[ChannelSpec::of::<PaymentCommands>(), ChannelSpec::of::<ShippingCommands>()];

    fn correlate(message: &OrderMessage, _: &Delivery) -> Option<Uuid> {
        match message {
            OrderMessage::CheckedOut(CheckedOut { order, .. }) => Some(*order),
            OrderMessage::PaymentTaken(_) => None,
        }
    }

    fn decide(&self, input: Input<'_, OrderMessage>, _: &Context) -> Events<OrderEvent> {
        match (self, input) {
            (Self::Unplaced, Input::Message { message: OrderMessage::CheckedOut(CheckedOut { amount, .. }), .. }) => {
                bear(*amount);
                Events::one(OrderPlaced { amount: *amount })
            }
            (
                Self::Paying { .. },
                Input::Message { message: OrderMessage::PaymentTaken(PaymentTaken { amount }), step: Some(PAY) },
            ) => {
                bear(*amount);
                Events::one(OrderPaid {})
            }
            (Self::Paying { .. }, Input::NothingToDo { step: PAY }) => Events::one(OrderPaid {}),
            (Self::Paying { .. }, Input::Refused { step: PAY, refusal }) => {
                Events::one(OrderCancelled { reason: refusal.code.clone() })
            }
            (Self::Paying { overdue: false, amount }, Input::Due { timer: PAY }) => {
                bear(*amount);
                Events::one(PaymentOverdue {})
            }
            (Self::Shipping, Input::NothingToDo { step: SHIP }) => Events::one(OrderShipped {}),
            _ => Events::none(),
        }
    }

    fn effects(event: &OrderEvent, delivery: &Delivery) -> Effects {
        match event {
            OrderEvent::Placed(OrderPlaced { amount }) => Effects::none()
                .send(PaymentCommands::command(PAY, payment_of(delivery), &TakePayment { amount: *amount }))
                .due_after(PAY, delivery, PAY_TIME_MAX),
            OrderEvent::PaymentOverdue(_) => Effects::none().send(PaymentCommands::cancel(PAY, payment_of(delivery))),
            OrderEvent::Paid(_) => {
                let order = delivery.aggregate_id().parse().unwrap();
                Effects::none().clear(PAY).send(ShippingCommands::command(
                    SHIP,
                    delivery.stream.clone(),
                    &ShipOrder { order },
                ))
            }
            OrderEvent::Shipped(_) => Effects::none(),
            OrderEvent::Cancelled(_) => Effects::none().clear(PAY),
        }
    }
}

/// The payment of an order has its id.
fn payment_of(delivery: &Delivery) -> StreamName {
    StreamName::new(format!("payment-{}", delivery.aggregate_id())).unwrap()
}
