//! Process managers' own stories, and the helper that finds states without an answer.

use std::{panic::catch_unwind, sync::Arc};

use factum::{
    ChannelSpec, CommandChannel, Context, Delivery, Effects, Events, Input, ProcessManager, Service, StreamName,
    bus::{Bus, MemoryBus},
    dispatch::BuildError,
    model::{Aggregate, Refusal, TimerChange},
    service::StartError,
    store::{EventStore, MemoryStore},
    testing::{NOW, assert_total, given, given_nothing},
};
use uuid::Uuid;

use super::{
    AlreadyPlaced, CheckedOut, Order, OrderCancelled, OrderEvent, OrderMessage, OrderPaid, OrderPlaced, OrderShipped,
    PAY, PAY_TIME_MAX, PaymentCommands, PaymentOverdue, PaymentTaken, PlaceOrder, SHIP, ShipOrder, ShippingCommands,
    TakePayment,
};

const ORDER: Uuid = Uuid::from_u128(7);

fn payment() -> StreamName {
    StreamName::new(format!("payment-{ORDER}")).unwrap()
}

fn order() -> StreamName {
    StreamName::new(format!("order-{ORDER}")).unwrap()
}

/// What a story panics with.
fn told(story: impl FnOnce() + std::panic::UnwindSafe) -> String {
    factum::runtime::panic_text(catch_unwind(story).unwrap_err().as_ref())
}

#[test]
fn an_order_is_placed_paid_and_shipped() {
    given_nothing::<Order>()
        .for_id(ORDER)
        .when(PlaceOrder { order: ORDER, amount: 5 })
        .then([OrderPlaced { amount: 5 }])
        .then_sends([PaymentCommands::command(PAY, payment(), &TakePayment { amount: 5 })])
        .then_timers([TimerChange::Set { timer: PAY, due: NOW.plus(PAY_TIME_MAX) }])
        .hears(PaymentTaken { amount: 5 }, PAY)
        .then([OrderPaid {}])
        .then_sends([ShippingCommands::command(SHIP, order(), &ShipOrder { order: ORDER })])
        .then_timers([TimerChange::Clear { timer: PAY }])
        .nothing_to_do(SHIP)
        .then([OrderShipped {}])
        .then_sends([]);
}

#[test]
fn a_deadline_cancels_and_only_the_outcome_decides() {
    let overdue = || {
        given::<Order>([OrderPlaced { amount: 5 }])
            .for_id(ORDER)
            .due(PAY)
            .then([PaymentOverdue {}])
            .then_sends([PaymentCommands::cancel(PAY, payment())])
    };
    overdue().refused(PAY, Refusal::CANCELLED).then([OrderCancelled { reason: "cancelled".to_owned() }]);
    overdue().hears(PaymentTaken { amount: 5 }, PAY).then([OrderPaid {}]);
    overdue().due(PAY).then_nothing().when(PlaceOrder { order: ORDER, amount: 5 }).then_rejected(AlreadyPlaced);
}

#[test]
fn a_story_that_goes_on_otherwise_says_how() {
    let hears_nothing = told(|| {
        let _ =
            given::<Order>([OrderPlaced { amount: 5 }]).hears(PaymentTaken { amount: 5 }, None).then([OrderPaid {}]);
    });
    assert!(hears_nothing.contains("it hears shop.payments.payment-taken.v1 {\"amount\":5}"), "{hears_nothing}");
    let sends_more = told(|| {
        let _ = given::<Order>([OrderPlaced { amount: 5 }]).for_id(ORDER).then_sends([]);
    });
    assert!(sends_more.contains(&format!("`pay` to payment-{ORDER} on shop.payments.commands.orders")), "{sends_more}");
    let sets_more = told(|| {
        let _ = given::<Order>([OrderPlaced { amount: 5 }]).then_timers([]);
    });
    assert!(sets_more.contains("Set { timer: \"pay\""), "{sets_more}");
}

fn histories() -> [Vec<OrderEvent>; 1] {
    [vec![OrderPlaced { amount: 5 }.into(), OrderPaid {}.into(), OrderShipped {}.into()]]
}

fn messages() -> [OrderMessage; 2] {
    [PaymentTaken { amount: 5 }.into(), CheckedOut { order: ORDER, amount: 5 }.into()]
}

#[test]
fn an_order_has_an_answer_to_everything() {
    assert_total::<Order>(histories(), messages());
}

/// An order that does one thing wrong.
macro_rules! wrong {
    ($name:ident, $category:expr, $decide:expr, $effects:expr) => {
        #[derive(Clone, Debug, Default, PartialEq)]
        struct $name(Order);

        impl Aggregate for $name {
            const CATEGORY: &'static str = $category;
            type Id = Uuid;
            type Event = OrderEvent;
            type Rejection = AlreadyPlaced;

            fn apply(&mut self, event: &OrderEvent) {
                self.0.apply(event);
            }
        }

        impl ProcessManager for $name {
            type Message = OrderMessage;
            const TOPICS: &'static [&'static str] = Order::TOPICS;
            const CHANNELS: &'static [ChannelSpec] = Order::CHANNELS;

            fn decide(&self, input: Input<'_, OrderMessage>, context: &Context) -> Events<OrderEvent> {
                let decide: fn(&Order, Input<'_, OrderMessage>, &Context) -> Events<OrderEvent> = $decide;
                decide(&self.0, input, context)
            }

            fn effects(event: &OrderEvent, delivery: &Delivery) -> Effects {
                let effects: fn(&OrderEvent, &Delivery) -> Effects = $effects;
                effects(event, delivery)
            }
        }
    };
}

wrong!(
    Unprepared,
    "order",
    |order, input, context| {
        // Only an order that is paid in spite of its deadline gets here.
        assert!(
            !matches!((order, input), (Order::Paying { overdue: true, .. }, Input::Message { .. })),
            "no such luck"
        );
        order.decide(input, context)
    },
    Order::effects
);

struct Unlisted;

impl CommandChannel for Unlisted {
    const TOPIC: &'static str = "shop.parcels.commands.orders";
    const COMMANDS: &'static [factum::MessageType] = &[];
}

wrong!(OnNoChannel, "order", Order::decide, |event, delivery| match event {
    OrderEvent::PaymentOverdue(_) => Effects::none().send(Unlisted::cancel(PAY, delivery.stream.clone())),
    _ => Order::effects(event, delivery),
});

wrong!(UnderNoStep, "order", Order::decide, |event, delivery| match event {
    OrderEvent::Cancelled(_) => {
        Effects::none().send(PaymentCommands::cancel("pay/again", delivery.stream.clone()))
    }
    _ => Order::effects(event, delivery),
});

wrong!(
    Fickle,
    "order",
    |order, input, context| {
        static ASKED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        match order.decide(input, context).as_slice() {
            [OrderEvent::Cancelled(_)] => {
                let reason = ASKED.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
                Events::one(OrderCancelled { reason })
            }
            events => events.to_vec().into(),
        }
    },
    Order::effects
);

#[test]
fn what_has_no_answer_is_found_wherever_it_hides() {
    let unprepared = told(|| assert_total::<Unprepared>(histories(), messages()));
    assert!(unprepared.contains("overdue: true") && unprepared.contains("no such luck"), "{unprepared}");
    let on_no_channel = told(|| assert_total::<OnNoChannel>(histories(), messages()));
    assert!(on_no_channel.contains("shop.parcels.commands.orders, which is not among"), "{on_no_channel}");
    let under_no_step = told(|| assert_total::<UnderNoStep>(histories(), messages()));
    assert!(under_no_step.contains("is no command id"), "{under_no_step}");
    let fickle = told(|| assert_total::<Fickle>(histories(), messages()));
    assert!(fickle.contains("decided twice"), "{fickle}");
}

wrong!(Clockwork, "timer", Order::decide, Order::effects);

#[tokio::test]
async fn a_category_has_one_type_and_is_not_one_of_the_frameworks_own() {
    let service = || {
        let (store, bus): (Arc<dyn EventStore>, Arc<dyn Bus>) =
            (Arc::new(MemoryStore::new()), Arc::new(MemoryBus::new()));
        Service::builder("shop", "orders").store(store).bus(bus)
    };
    let impostor = service().handles::<PlaceOrder>().manages::<Unprepared>().start().await.err();
    let two_types =
        |error| matches!(error, Some(StartError::Build(BuildError::DuplicateName { name, .. })) if name == "order");
    assert!(two_types(impostor));
    let clockwork = service().manages::<Clockwork>().start().await.err();
    assert!(matches!(clockwork, Some(StartError::Build(BuildError::ReservedCategory(name))) if name == "timer"));
    let twice = service().manages::<Order>().manages::<Order>().start().await.err();
    assert!(matches!(twice, Some(StartError::Build(BuildError::DuplicateName { .. }))));
}
