//! `docs/guide/processes.md`.

use std::{error::Error, sync::Arc, time::Duration};

use factum::{
    ExpectedVersion, Personal, Service, StreamName,
    bus::{Bus, MemoryBus},
    dispatch::{At, load},
    model::{Refusal, Sent},
    prelude::*,
    store::{EventStore, MemoryStore},
    testing::{assert_total, given, settle},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    page_shows,
    shows::{AnnounceShow, ReleaseSeat, ReserveSeat, Show, ShowEvent},
};

/// What `bookings` sends to `shows`, in its own words.
pub struct ShowCommands;

impl CommandChannel for ShowCommands {
    const TOPIC: &'static str = "theatre.shows.commands.bookings";
    const COMMANDS: &'static [MessageType] = &[MessageType::of::<Reserve>(), MessageType::of::<Release>()];
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "theatre.shows.reserve-seat.v1")]
pub struct Reserve {
    pub show_id: Uuid,
    pub seat: u32,
    pub guest: Personal<String>,
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "theatre.shows.release-seat.v1")]
pub struct Release {
    pub show_id: Uuid,
    pub seat: u32,
}

/// What `bookings` hears from `shows`: only what it wants, with only the fields it reads.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum ShowMessage {
    #[factum(name = "theatre.shows.seat-reserved.v1")]
    Reserved(SeatReserved),
    #[factum(name = "theatre.shows.seat-released.v1")]
    Released(SeatReleased),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeatReserved {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeatReleased {}

/// One evening of a booking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evening {
    pub show_id: Uuid,
    pub seat: u32,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "book-evenings", aggregate = Booking, id = booking_id)]
pub struct BookEvenings {
    pub booking_id: Uuid,
    pub first: Evening,
    pub second: Evening,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BookingRequested {
    pub first: Evening,
    pub second: Evening,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirstReserved {
    pub second: Evening,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecondOverdue {
    pub second: Evening,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BothReserved {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecondRefused {
    pub first: Evening,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BookingDeclined {}

#[derive(Clone, Debug, PartialEq, Event)]
pub enum BookingEvent {
    #[factum(name = "booking.requested")]
    Requested(BookingRequested),
    #[factum(name = "booking.first-reserved")]
    FirstReserved(FirstReserved),
    #[factum(name = "booking.second-overdue")]
    SecondOverdue(SecondOverdue),
    #[factum(name = "booking.both-reserved")]
    BothReserved(BothReserved),
    #[factum(name = "booking.second-refused")]
    SecondRefused(SecondRefused),
    #[factum(name = "booking.declined")]
    Declined(BookingDeclined),
}

/// Two evenings, or none: the second seat is asked for once the first is reserved.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Booking {
    #[default]
    Unknown,
    ReservingFirst {
        first: Evening,
        second: Evening,
    },
    ReservingSecond {
        first: Evening,
        second: Evening,
    },
    ReleasingFirst,
    Booked,
    Declined,
}

impl Aggregate for Booking {
    const CATEGORY: &'static str = "booking";
    type Id = Uuid;
    type Event = BookingEvent;
    type Rejection = NeverRefused;

    fn apply(&mut self, event: &BookingEvent) {
        *self = match (event, std::mem::take(self)) {
            (BookingEvent::Requested(BookingRequested { first, second }), _) => {
                Self::ReservingFirst { first: first.clone(), second: second.clone() }
            }
            (BookingEvent::FirstReserved(_), Self::ReservingFirst { first, second }) => {
                Self::ReservingSecond { first, second }
            }
            (BookingEvent::FirstReserved(_) | BookingEvent::SecondOverdue(_), before) => before,
            (BookingEvent::BothReserved(_), _) => Self::Booked,
            (BookingEvent::SecondRefused(_), _) => Self::ReleasingFirst,
            (BookingEvent::Declined(_), _) => Self::Declined,
        };
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum NeverRefused {}

impl Rejection for NeverRefused {
    fn code(&self) -> &'static str {
        match *self {}
    }
}

impl Handle<BookEvenings> for Booking {
    fn handle(&self, command: &BookEvenings, _: &Context) -> Result<Events<BookingEvent>, NeverRefused> {
        let BookEvenings { first, second, .. } = command.clone();
        Ok(match self {
            Self::Unknown => Events::one(BookingRequested { first, second }),
            _ => Events::none(),
        })
    }
}

const FIRST: &str = "reserve-first";
const SECOND: &str = "reserve-second";
const RELEASE: &str = "release-first";
/// How long a seat may take to be reserved.
const RESERVING_MAX: Duration = Duration::from_secs(10);

impl ProcessManager for Booking {
    type Message = ShowMessage;
    const TOPICS: &'static [&'static str] = &["theatre.shows.show.events", "theatre.shows.outcome.events"];
    const CHANNELS: &'static [ChannelSpec] = &[ChannelSpec::of::<ShowCommands>()];

    fn decide(&self, input: Input<'_, ShowMessage>, _: &Context) -> Events<BookingEvent> {
        use ShowMessage::{Released, Reserved};
        match (self, input) {
            (Self::ReservingFirst { second, .. }, Input::Message { message: Reserved(_), step: Some(FIRST) }) => {
                Events::one(FirstReserved { second: second.clone() })
            }
            (Self::ReservingFirst { .. }, Input::Refused { step: FIRST, .. }) => Events::one(BookingDeclined {}),
            (Self::ReservingSecond { .. }, Input::Message { message: Reserved(_), step: Some(SECOND) }) => {
                Events::one(BothReserved {})
            }
            (Self::ReservingSecond { second, .. }, Input::Due { timer: SECOND }) => {
                Events::one(SecondOverdue { second: second.clone() })
            }
            (Self::ReservingSecond { first, .. }, Input::Refused { step: SECOND, .. }) => {
                Events::one(SecondRefused { first: first.clone() })
            }
            (
                Self::ReleasingFirst,
                Input::Message { message: Released(_), step: Some(RELEASE) } | Input::NothingToDo { step: RELEASE },
            ) => Events::one(BookingDeclined {}),
            _ => Events::none(),
        }
    }

    fn effects(event: &BookingEvent, delivery: &Delivery) -> Effects {
        match event {
            BookingEvent::Requested(BookingRequested { first, .. }) => Effects::none().send(reserve(FIRST, first)),
            BookingEvent::FirstReserved(FirstReserved { second }) => {
                Effects::none().send(reserve(SECOND, second)).due_after(SECOND, delivery, RESERVING_MAX)
            }
            BookingEvent::SecondOverdue(SecondOverdue { second }) => {
                Effects::none().send(ShowCommands::cancel(SECOND, show(second)))
            }
            BookingEvent::BothReserved(_) => Effects::none().clear(SECOND),
            BookingEvent::SecondRefused(SecondRefused { first }) => {
                let release = Release { show_id: first.show_id, seat: first.seat };
                Effects::none().clear(SECOND).send(ShowCommands::command(RELEASE, show(first), &release))
            }
            BookingEvent::Declined(_) => Effects::none(),
        }
    }
}

fn reserve(step: &'static str, evening: &Evening) -> Sent {
    let Evening { show_id, seat } = *evening;
    let reserve = Reserve { show_id, seat, guest: Personal::known("a guest".to_owned()) };
    ShowCommands::command(step, show(evening), &reserve)
}

fn show(evening: &Evening) -> StreamName {
    StreamName::new(format!("show-{}", evening.show_id)).expect("an id makes a stream's name")
}

/// What `shows` publishes: of seats that are reserved, and of those that are released.
pub struct Shows;

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "theatre.shows.seat-reserved.v1")]
pub struct SeatReservedMessage {
    pub seat: u32,
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "theatre.shows.seat-released.v1")]
pub struct SeatReleasedMessage {
    pub seat: u32,
}

impl Publication for Shows {
    const TOPIC: &'static str = "theatre.shows.show.events";
    const MESSAGES: &'static [MessageType] =
        &[MessageType::of::<SeatReservedMessage>(), MessageType::of::<SeatReleasedMessage>()];
    type Event = ShowEvent;

    fn translate(event: &ShowEvent, _: &Delivery) -> Option<OutgoingMessage> {
        match event {
            ShowEvent::Announced(_) => None,
            ShowEvent::Reserved(reserved) => Some(Self::outgoing(&SeatReservedMessage { seat: reserved.seat })),
            ShowEvent::Released(released) => Some(Self::outgoing(&SeatReleasedMessage { seat: released.seat })),
        }
    }
}

#[test]
fn the_page_shows_what_is_compiled() {
    page_shows(include_str!("../../../../../docs/guide/processes.md"), &[include_str!("processes.rs")]);
}

fn evening(show: u128, seat: u32) -> Evening {
    Evening { show_id: Uuid::from_u128(show), seat }
}

fn requested() -> BookingRequested {
    BookingRequested { first: evening(1, 7), second: evening(2, 7) }
}

#[test]
fn a_booking_is_both_evenings_or_none() {
    let second = evening(2, 7);

    given::<Booking>([requested()])
        .then_sends([reserve(FIRST, &evening(1, 7))])
        .hears(SeatReserved {}, FIRST)
        .then([FirstReserved { second: second.clone() }])
        .then_sends([reserve(SECOND, &second)])
        .due(SECOND)
        .then([SecondOverdue { second: second.clone() }])
        .then_sends([ShowCommands::cancel(SECOND, show(&second))])
        .refused(SECOND, Refusal::CANCELLED)
        .then([SecondRefused { first: evening(1, 7) }]);
}

#[test]
fn a_booking_has_an_answer_to_everything() {
    let refused = SecondRefused { first: evening(1, 7) };
    let first_reserved = || FirstReserved { second: evening(2, 7) };
    assert_total::<Booking>(
        [
            vec![requested().into(), first_reserved().into(), BothReserved {}.into()],
            vec![requested().into(), first_reserved().into(), refused.into(), BookingDeclined {}.into()],
        ],
        [SeatReserved {}.into(), SeatReleased {}.into()],
    );
}

#[tokio::test]
async fn two_services_book_over_the_bus() -> Result<(), Box<dyn Error>> {
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let show_events: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let booking_events: Arc<dyn EventStore> = Arc::new(MemoryStore::new());

    let shows = Service::builder("theatre", "shows")
        .store(Arc::clone(&show_events))
        .bus(Arc::clone(&bus))
        .handles::<AnnounceShow>()
        .publishes::<Shows>()
        .receives_from("bookings", |commands| commands.takes::<ReserveSeat>().takes::<ReleaseSeat>())
        .start()
        .await?;
    let bookings = Service::builder("theatre", "bookings")
        .store(Arc::clone(&booking_events))
        .bus(bus)
        .handles::<BookEvenings>()
        .manages::<Booking>()
        .start()
        .await?;

    for show in 1..=2 {
        let announced = AnnounceShow { show_id: Uuid::from_u128(show), title: "Figaro".to_owned(), seats: 10 };
        shows.commands().dispatch(announced).expecting(ExpectedVersion::NoStream).await?;
    }
    let booking_id = Uuid::from_u128(3);
    let book = BookEvenings { booking_id, first: evening(1, 7), second: evening(2, 11) };
    bookings.commands().dispatch(book).await?;
    settle(&[&bookings, &shows]).await?;

    let booking = load::<Booking>(booking_events.as_ref(), &booking_id, At::Latest).await?;
    assert_eq!(booking.state, Booking::Declined, "there is no seat 11");
    let first = load::<Show>(show_events.as_ref(), &Uuid::from_u128(1), At::Latest).await?;
    assert!(first.state.reserved.is_empty(), "the first evening was given back");
    Ok(())
}
