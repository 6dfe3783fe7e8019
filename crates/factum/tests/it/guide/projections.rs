//! `docs/guide/projections-and-tokens.md`.

use std::{error::Error, sync::Arc};

use factum::{
    Personal,
    bus::{Bus, MemoryBus},
    prelude::*,
    query::AskOptions,
    read::MemoryReadStore,
    service::STOP_LIMIT_DEFAULT,
    store::MemoryStore,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    page_shows,
    shows::{AnnounceShow, ReleaseSeat, ReserveSeat, ShowEvent},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Seat {
    seat: u32,
    guest: Personal<String>,
}

#[derive(Default)]
pub struct Seating;

const SEATS: Table<Seat> = Table::of::<Seating>("seats");

/// Keys of one show stand together, in the order of their seats.
fn seat_key(show: &str, seat: u32) -> Key {
    Key::new().text(show).number(seat.into())
}

impl Projection for Seating {
    const NAME: &'static str = "seating";
    const VERSION: u32 = 1;
    type Event = ShowEvent;

    fn project(&self, event: &ShowEvent, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let show = from.aggregate_id();
        match event {
            ShowEvent::Announced(_) => Ok(()),
            ShowEvent::Reserved(reserved) => {
                let seat = Seat { seat: reserved.seat, guest: reserved.guest.clone() };
                SEATS.put(tx, &seat_key(show, reserved.seat), &seat)
            }
            ShowEvent::Released(released) => SEATS.delete(tx, &seat_key(show, released.seat)),
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "guests", reads(Seating))]
pub struct GetGuests {
    show_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub struct Guests {
    seats: Vec<Seat>,
    next: Option<String>,
}

impl GetGuests {
    pub fn first_page(show_id: Uuid) -> Self {
        Self { show_id, cursor: None }
    }
}

impl Guests {
    pub fn numbers(&self) -> Vec<u32> {
        self.seats.iter().map(|seat| seat.seat).collect()
    }
}

impl Answers for GetGuests {
    type Answer = Guests;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<Guests, QueryError> {
        let mut range = KeyRange::prefix(&Key::new().text(&self.show_id.to_string()));
        if let Some(cursor) = &self.cursor {
            range = SEATS.resume(range, cursor).map_err(|error| InvalidField::new("cursor", error))?;
        }
        let page = SEATS.page(read, &range, 2)?;
        Ok(Guests { seats: page.documents, next: page.next.map(|cursor| cursor.to_string()) })
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "theatre.shows.show-announced.v1")]
struct ShowAnnouncedV1 {
    show_id: String,
    title: String,
}

struct Shows;

impl Publication for Shows {
    const TOPIC: &'static str = "theatre.shows.show.events";
    const MESSAGES: &'static [MessageType] = &[MessageType::of::<ShowAnnouncedV1>()];
    type Event = ShowEvent;

    fn translate(event: &ShowEvent, from: &Delivery) -> Option<OutgoingMessage> {
        match event {
            ShowEvent::Announced(announced) => Some(Self::outgoing(&ShowAnnouncedV1 {
                show_id: from.aggregate_id().to_owned(),
                title: announced.title.clone(),
            })),
            // Who sits where is nobody else's business.
            ShowEvent::Reserved(_) | ShowEvent::Released(_) => None,
        }
    }
}

/// What the programme service makes of the shows' messages.
#[derive(Clone, Event)]
enum ShowMessage {
    #[factum(name = "theatre.shows.show-announced.v1")]
    Announced(Announced),
}

#[derive(Clone, Serialize, Deserialize)]
struct Announced {
    title: String,
}

#[derive(Default)]
struct Programme;

const TITLES: Table<String> = Table::of::<Programme>("titles");

impl Projection for Programme {
    const NAME: &'static str = "programme";
    const VERSION: u32 = 1;
    type Event = ShowMessage;

    fn project(&self, event: &ShowMessage, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let ShowMessage::Announced(announced) = event;
        TITLES.put(tx, &Key::from(from.aggregate_id()), &announced.title)
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "programme", reads(Programme))]
struct GetProgramme {}

impl Answers for GetProgramme {
    type Answer = Vec<String>;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<Vec<String>, QueryError> {
        Ok(TITLES.page(read, &KeyRange::all(), 100)?.documents)
    }
}

#[test]
fn the_page_shows_what_is_compiled() {
    page_shows(
        include_str!("../../../../../docs/guide/projections-and-tokens.md"),
        &[include_str!("projections.rs"), include_str!("shows.rs")],
    );
}

#[tokio::test]
async fn a_guest_list_is_read_page_by_page_and_by_its_own_writer() -> Result<(), Box<dyn Error>> {
    let show_id = Uuid::from_u128(1);
    let reserve = |seat| ReserveSeat { show_id, seat, guest: Personal::known("Ada".to_owned()) };
    let guests_of = GetGuests::first_page;
    let service = Service::builder("theatre", "shows")
        .store(Arc::new(MemoryStore::new()))
        .read_store(Arc::new(MemoryReadStore::new()))
        .handles::<AnnounceShow>()
        .handles::<ReserveSeat>()
        .handles::<ReleaseSeat>()
        .projects::<Seating>()
        .answers::<GetGuests>()
        .start()
        .await?;
    service.commands().dispatch(AnnounceShow { show_id, title: "Figaro".to_owned(), seats: 300 }).await?;

    let receipt = service.commands().dispatch(reserve(3)).await?;
    let guests = service.queries().ask(guests_of(show_id)).at_least(receipt.token()).await?;
    assert_eq!(guests.seats.len(), 1);

    for seat in [1, 2, 4] {
        service.commands().dispatch(reserve(seat)).await?;
    }
    let receipt = service.commands().dispatch(ReleaseSeat { show_id, seat: 1 }).await?;
    let first = service.queries().ask(guests_of(show_id)).at_least(receipt.token()).await?;
    assert_eq!(first.numbers(), [2, 3]);
    let rest = service.queries().ask(GetGuests { show_id, cursor: first.next }).await?;
    assert_eq!((rest.numbers(), rest.next), (vec![4], None));
    service.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| unclean.join("; "))?;
    Ok(())
}

#[tokio::test]
async fn another_service_learns_of_it_over_the_bus() -> Result<(), Box<dyn Error>> {
    let show_id = Uuid::from_u128(1);
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());

    let shows = Service::builder("theatre", "shows")
        .store(Arc::new(MemoryStore::new()))
        .bus(Arc::clone(&bus))
        .handles::<AnnounceShow>()
        .publishes::<Shows>()
        .start()
        .await?;
    let programme = Service::builder("theatre", "programme")
        .read_store(Arc::new(MemoryReadStore::new()))
        .bus(bus)
        .consumes::<Programme>(&["theatre.shows.show.events"])
        .answers::<GetProgramme>()
        .start()
        .await?;
    let receipt = shows.commands().dispatch(AnnounceShow { show_id, title: "Figaro".to_owned(), seats: 300 }).await?;
    let titles = programme.queries().ask(GetProgramme {}).at_least(receipt.token()).await?;
    assert_eq!(titles, ["Figaro"]);

    programme.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| unclean.join("; "))?;
    shows.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| unclean.join("; "))?;
    Ok(())
}

#[tokio::test]
async fn a_guest_list_is_watched() -> Result<(), Box<dyn Error>> {
    let show_id = Uuid::from_u128(1);
    let reserve = |seat| ReserveSeat { show_id, seat, guest: Personal::known("Ada".to_owned()) };
    let service = Service::builder("theatre", "shows")
        .store(Arc::new(MemoryStore::new()))
        .read_store(Arc::new(MemoryReadStore::new()))
        .handles::<AnnounceShow>()
        .handles::<ReserveSeat>()
        .projects::<Seating>()
        .answers::<GetGuests>()
        .start()
        .await?;
    let announced =
        service.commands().dispatch(AnnounceShow { show_id, title: "Figaro".to_owned(), seats: 300 }).await?;
    service.queries().ask(GetGuests::first_page(show_id)).at_least(announced.token()).await?;
    let mut live = service.queries().live("guests", &format!("show_id={show_id}"), AskOptions::default()).await?;
    let guests = live.next().await?.document;
    assert_eq!(guests, br#"{"seats":[],"next":null}"#);
    service.commands().dispatch(reserve(3)).await?;
    let guests = live.next().await?.document;
    assert_eq!(guests, br#"{"seats":[{"seat":3,"guest":"Ada"}],"next":null}"#);
    service.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| unclean.join("; "))?;
    Ok(())
}
