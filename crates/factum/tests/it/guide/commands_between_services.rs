//! `docs/guide/commands-between-services.md`.

use std::{convert::Infallible, error::Error, sync::Arc};

use factum::{
    Delivery, Personal, StreamName,
    bus::{Bus, MemoryBus},
    contract::Contract,
    prelude::*,
    receiver::Takes,
    service::settle,
    store::{EventStore, MemoryStore},
    testing::NoEvent,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    page_shows,
    shows::{AnnounceShow, ReleaseSeat, ReserveSeat, Show},
};
use crate::world::within;

#[test]
fn the_page_shows_what_is_compiled() {
    page_shows(
        include_str!("../../../../../docs/guide/commands-between-services.md"),
        &[include_str!("commands_between_services.rs"), include_str!("shows.rs")],
    );
}

/// What the shows take from the orders.
fn from_orders(commands: Takes) -> Takes {
    commands.takes::<ReserveSeat>().takes::<ReleaseSeat>()
}

/// `reserve-seat` as the shows' contract has it; a type of the orders' own.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "opera.shows.reserve-seat.v1")]
struct ReserveSeatThere {
    show_id: Uuid,
    seat: u32,
    guest: Personal<String>,
}

struct ToShows;

impl CommandChannel for ToShows {
    const TOPIC: &'static str = "opera.shows.commands.orders";
    const COMMANDS: &'static [MessageType] = &[MessageType::of::<ReserveSeatThere>()];
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OrderPlaced {
    show_id: Uuid,
    seat: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OrderRefused {
    why: String,
}

#[derive(Clone, Debug, PartialEq, Event)]
enum OrderEvent {
    #[factum(name = "order.placed")]
    Placed(OrderPlaced),
    #[factum(name = "order.refused")]
    Refused(OrderRefused),
}

#[derive(Clone, Debug, Default)]
struct Order;

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = Uuid;
    type Event = OrderEvent;
    type Rejection = Infallible;

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed(_) | OrderEvent::Refused(_) => {}
        }
    }
}

#[derive(Clone, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "place-order", aggregate = Order, id = order_id)]
struct PlaceOrder {
    order_id: Uuid,
    show_id: Uuid,
    seat: u32,
}

impl Handle<PlaceOrder> for Order {
    fn handle(&self, command: &PlaceOrder, _: &Context) -> Result<Events<OrderEvent>, Infallible> {
        Ok(Events::one(OrderPlaced { show_id: command.show_id, seat: command.seat }))
    }
}

impl ProcessManager for Order {
    type Message = NoEvent;
    const TOPICS: &'static [&'static str] = &["opera.shows.outcome.events"];
    const CHANNELS: &'static [ChannelSpec] = &[ChannelSpec::of::<ToShows>()];

    fn decide(&self, input: Input<'_, NoEvent>, _: &Context) -> Events<OrderEvent> {
        match input {
            Input::Refused { refusal, .. } => Events::one(OrderRefused { why: refusal.code.clone() }),
            Input::NothingToDo { .. } | Input::Due { .. } => Events::none(),
            Input::Message { message, .. } => match *message {},
        }
    }

    fn effects(event: &OrderEvent, _: &Delivery) -> Effects {
        match event {
            OrderEvent::Placed(OrderPlaced { show_id, seat }) => {
                let (show_id, seat, guest) = (*show_id, *seat, Personal::Forgotten);
                let Ok(show) = StreamName::new(format!("show-{show_id}")) else { return Effects::none() };
                Effects::none().send(ToShows::command("reserve", show, &ReserveSeatThere { show_id, seat, guest }))
            }
            OrderEvent::Refused(_) => Effects::none(),
        }
    }
}

#[tokio::test]
async fn an_order_reserves_a_seat_or_is_told_why_not() -> Result<(), Box<dyn Error>> {
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let shows = Service::builder("opera", "shows")
        .store(store)
        .bus(Arc::clone(&bus))
        .handles::<AnnounceShow>()
        .receives_from("orders", from_orders)
        .start()
        .await?;
    let orders = Service::builder("opera", "orders")
        .store(Arc::new(MemoryStore::new()))
        .bus(bus)
        .handles::<PlaceOrder>()
        .manages::<Order>()
        .start()
        .await?;
    let show_id = Uuid::from_u128(1);
    shows.commands().dispatch(AnnounceShow { show_id, title: "Figaro".to_owned(), seats: 300 }).await?;
    for order in [2, 3] {
        let order_id = Uuid::from_u128(order);
        orders.commands().dispatch(PlaceOrder { order_id, show_id, seat: 7 }).await?;
        within(settle(&[&orders, &shows])).await?;
    }
    let kept = shows.store().expect("it has one");
    let show = factum::dispatch::load::<Show>(kept.as_ref(), &show_id, factum::dispatch::At::Latest).await?;
    assert_eq!(show.state.reserved.keys().collect::<Vec<_>>(), [&7]);
    for (order, ends) in [(2, "order.placed"), (3, "order.refused")] {
        let stream = StreamName::new(format!("order-{}", Uuid::from_u128(order)))?;
        let (from, forward) = (factum::Version::new(1), factum::store::Direction::Forward);
        let events = orders.store().expect("it has one").read_stream(&stream, from, forward, 10).await?.events;
        assert_eq!(events.last().map(|event| &*event.name), Some(ends));
    }
    Ok(())
}

#[test]
fn what_is_taken_is_in_the_contract() {
    let (show_id, seat) = (Uuid::from_u128(1), 7);
    let contract = Contract::new("opera", "shows")
        .receives_from("orders", from_orders)
        .command_sample("full", &ReserveSeat { show_id, seat, guest: Personal::known("Ada".to_owned()) })
        .command_sample("full", &ReleaseSeat { show_id, seat });
    let names: Vec<_> = contract.commands().collect();
    assert_eq!(names, ["opera.shows.release-seat.v1", "opera.shows.reserve-seat.v1"]);
}
