//! Process managers that conform, and with a planted fault.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use factum::{
    Runtime, StreamName,
    prelude::*,
    testing::conformance::{self, Answer, Asked, Sample},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::found;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "shop.till.take-payment.v1")]
struct TakePayment {
    note: String,
}

struct TillCommands;

impl CommandChannel for TillCommands {
    const TOPIC: &'static str = "shop.till.commands.orders";
    const PARTITIONS: u32 = 3;
    const COMMANDS: &'static [MessageType] = &[MessageType::of::<TakePayment>()];
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Placed {
    customer: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ended {
    how: String,
}

#[derive(Clone, Debug, PartialEq, Event)]
enum OrderEvent {
    #[factum(name = "order.placed")]
    Placed(Placed),
    #[factum(name = "order.ended")]
    Ended(Ended),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Taken {}

#[derive(Clone, Debug, PartialEq, Event)]
enum TillMessage {
    #[factum(name = "shop.till.payment-taken.v1")]
    Taken(Taken),
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

impl Rejection for Never {
    fn code(&self) -> &'static str {
        "never"
    }
}

/// An order takes its payment and has ended, with what makes the difference: how it says that, and what it asks for.
macro_rules! order {
    ($name:ident, $category:literal, how: $how:expr, note: $note:expr) => {
        #[derive(Clone, Debug, Default, PartialEq)]
        struct $name {
            open: bool,
        }

        impl Aggregate for $name {
            const CATEGORY: &'static str = $category;
            type Id = Uuid;
            type Event = OrderEvent;
            type Rejection = Never;

            fn apply(&mut self, event: &OrderEvent) {
                self.open = matches!(event, OrderEvent::Placed(_));
            }
        }

        impl ProcessManager for $name {
            type Message = TillMessage;
            const TOPICS: &'static [&'static str] = &["shop.till.payment.events", "shop.till.outcome.events"];
            const CHANNELS: &'static [ChannelSpec] = &[ChannelSpec::of::<TillCommands>()];

            fn decide(&self, input: Input<'_, TillMessage>, _: &Context) -> Events<OrderEvent> {
                let how: fn() -> String = $how;
                match input {
                    Input::Message { step: Some("pay"), .. } | Input::Refused { step: "pay", .. } if self.open => {
                        Events::one(OrderEvent::Ended(Ended { how: how() }))
                    }
                    _ => Events::none(),
                }
            }

            fn effects(event: &OrderEvent, from: &Delivery) -> Effects {
                let note: fn(&Delivery) -> String = $note;
                match event {
                    OrderEvent::Placed(placed) => {
                        let till = StreamName::new(format!("till-{}", placed.customer)).unwrap();
                        let pay = TillCommands::command("pay", till, &TakePayment { note: note(from) });
                        Effects::none().due_after("pay", from, Duration::from_secs(30)).send(pay)
                    }
                    OrderEvent::Ended(_) => Effects::none().clear("pay"),
                }
            }
        }
    };
}

static ASKED: AtomicU64 = AtomicU64::new(0);

order!(Order, "order", how: || "as agreed".to_owned(), note: |from| from.event_id.to_string());
order!(Dice, "dice", how: || Runtime::tokio().new_id().to_string(), note: |_| String::new());
order!(Panics, "panics", how: || panic!("there is no end"), note: |_| String::new());
order!(Counted, "counted", how: String::new, note: |_| ASKED.fetch_add(1, Ordering::SeqCst).to_string());

order!(Clocked, "clocked", how: || Runtime::tokio().now().to_string(), note: |_| String::new());
order!(Nth, "nth", how: || ASKED.fetch_add(1, Ordering::SeqCst).to_string(), note: |_| String::new());
order!(Noted, "noted", how: String::new, note: |_| Runtime::tokio().new_id().to_string());

fn tried<P>()
where
    P: ProcessManager<Event = OrderEvent, Message = TillMessage>,
{
    let sample = (1..=6_u128).fold(Sample::new(), |sample, number| {
        let stream = format!("{}-{}", P::CATEGORY, Uuid::from_u128(number));
        sample.after(&stream, [OrderEvent::Placed(Placed { customer: (number % 2).to_string() })])
    });
    conformance::process_manager::<P>(sample, |asked: &Asked<'_>| match asked.target.as_str() {
        "till-0" => Answer::Refused("no-credit"),
        _ => Answer::Done(TillMessage::Taken(Taken {})),
    });
}

#[test]
fn a_process_manager_conforms() {
    tried::<Order>();
}

#[test]
fn a_process_manager_that_panics_is_found_although_it_is_parked() {
    let found = found(tried::<Panics>);
    assert!(found.contains("it failed for good") && found.contains("there is no end"), "{found}");
}

#[test]
fn a_random_id_in_a_decision_is_found() {
    let found = found(tried::<Dice>);
    assert!(found.contains("process manager dice does not") && found.contains("otherwise when asked again"), "{found}");
}

#[test]
fn a_clock_and_state_of_its_own_in_a_decision_are_found() {
    for (name, story) in [("clocked", tried::<Clocked> as fn()), ("nth", tried::<Nth>)] {
        let found = found(story);
        assert!(found.contains(&format!("process manager {name} does not")), "{found}");
        assert!(found.contains("otherwise when asked again"), "{found}");
    }
}

#[test]
fn a_random_id_in_a_command_is_found() {
    let found = found(tried::<Noted>);
    assert!(found.contains("process manager noted does not"), "{found}");
    assert!(found.contains("asks for something else when asked again"), "{found}");
}

/// The streams of the sample were nobody's processes: nothing happened, and so nothing was wrong.
#[test]
fn a_sample_that_begins_no_process_of_this_kind_is_refused() {
    let found = found(|| {
        let sample = Sample::new().after("orders-1", [OrderEvent::Placed(Placed { customer: String::new() })]);
        conformance::process_manager::<Dice>(sample, |_: &Asked<'_>| Answer::NothingToDo);
    });
    assert!(found.contains("orders-1 is no stream of process manager dice: begin it with `dice-`"), "{found}");
}

#[test]
fn how_to_try_the_seed_of_a_process_again_is_told() {
    let sample = Sample::new()
        .after(&format!("dice-{}", Uuid::from_u128(1)), [OrderEvent::Placed(Placed { customer: String::new() })]);
    let late = AtomicU64::new(0);
    let found = found(std::panic::AssertUnwindSafe(|| {
        // The first answers, in the run without disturbance, lead to nothing.
        conformance::process_manager_over::<Dice>(
            sample,
            move |_: &Asked<'_>| match late.fetch_add(1, Ordering::SeqCst) {
                0 => Answer::NothingToDo,
                _ => Answer::Done(TillMessage::Taken(Taken {})),
            },
            7..9,
        );
    }));
    let again = "again: conformance::process_manager_over::<Dice>(sample, answer, 7..8)";
    assert!(found.contains("does not conform, seed 7") && found.lines().any(|line| line == again), "{found}");
}

#[test]
fn effects_that_depend_on_how_often_they_are_asked_for_are_found() {
    let found = found(tried::<Counted>);
    assert!(found.contains("process manager counted does not"), "{found}");
    assert!(found.contains("asks for something else when asked again"), "{found}");
}
