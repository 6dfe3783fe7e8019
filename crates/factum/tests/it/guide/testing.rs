//! `docs/guide/testing.md`.

use std::{error::Error, sync::Arc};

use factum::{
    CommandDispatcher, CommandId, DispatchError, EventStore, Personal,
    prelude::*,
    read::MemoryReadStore,
    service::STOP_LIMIT_DEFAULT,
    store::{MemoryStore, StoreError},
    testing::{
        self, COMMAND_ID, FaultyStore, StoreCall,
        conformance::{self, Sample},
        given, read_model, settle,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    page_shows,
    projections::{GetGuests, Seating},
    shows::{AnnounceShow, ReleaseSeat, ReserveSeat, SeatReleased, SeatReserved, Show, ShowAnnounced, ShowRejection},
};

const SHOW: Uuid = Uuid::from_u128(1);

fn announced(seats: u32) -> ShowAnnounced {
    ShowAnnounced { title: "Figaro".to_owned(), seats }
}

fn reserve(seat: u32) -> ReserveSeat {
    ReserveSeat { show_id: SHOW, seat, guest: Personal::known("Ada".to_owned()) }
}

fn reserved(seat: u32, by: CommandId) -> SeatReserved {
    SeatReserved { reservation: by.derive("reservation"), seat, guest: Personal::known("Ada".to_owned()) }
}

fn guests_of(show_id: Uuid) -> GetGuests {
    GetGuests::first_page(show_id)
}

#[test]
fn the_page_shows_what_is_compiled() {
    page_shows(include_str!("../../../../../docs/guide/testing.md"), &[include_str!("testing.rs")]);
}

#[test]
fn a_seat_is_reserved_once_and_released_as_often_as_one_likes() {
    given::<Show>([announced(2)])
        .when(reserve(1))
        .then([reserved(1, COMMAND_ID)])
        .when(reserve(1))
        .then_rejected(ShowRejection::SeatTaken(1))
        .when(ReleaseSeat { show_id: SHOW, seat: 1 })
        .then([SeatReleased { seat: 1 }])
        .when(ReleaseSeat { show_id: SHOW, seat: 1 })
        .then_nothing()
        .then_state(|show| assert!(show.reserved.is_empty()));
}

#[test]
fn a_released_seat_leaves_the_guest_list() -> Result<(), Box<dyn Error>> {
    let show = format!("show-{SHOW}");
    let happened = (reserved(2, COMMAND_ID), reserved(1, COMMAND_ID), SeatReleased { seat: 2 });
    let guests = read_model::<Seating>().after(&show, happened).ask(&guests_of(SHOW))?;
    assert_eq!(guests.numbers(), [1]);
    Ok(())
}

#[tokio::test]
async fn everything_under_way_arrives() -> Result<(), Box<dyn Error>> {
    let service = Service::builder("theatre", "shows")
        .store(Arc::new(MemoryStore::new()))
        .read_store(Arc::new(MemoryReadStore::new()))
        .handles::<AnnounceShow>()
        .handles::<ReserveSeat>()
        .projects::<Seating>()
        .answers::<GetGuests>()
        .start()
        .await?;
    service.commands().dispatch(AnnounceShow { show_id: SHOW, title: "Figaro".to_owned(), seats: 300 }).await?;

    for seat in 1..=20 {
        service.commands().dispatch(reserve(seat)).await?;
    }
    settle(&[&service]).await?;
    let guests = service.queries().ask(guests_of(SHOW)).await?;
    assert_eq!(guests.numbers(), [1, 2]);
    service.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| unclean.join("; "))?;
    Ok(())
}

#[test]
fn our_own_store_passes_the_suite_we_hand_out() {
    testing::read_store_suite(&|| Box::new(MemoryReadStore::new()));
}

#[tokio::test]
async fn a_show_is_announced_once_although_the_answer_was_lost() -> Result<(), Box<dyn Error>> {
    let announce = || AnnounceShow { show_id: SHOW, title: "Figaro".to_owned(), seats: 300 };
    let inner: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let lost = |call, nth| async move {
        let is_first_append = (call, nth) == (StoreCall::Append, 1);
        if is_first_append { Err(StoreError::Unavailable("gone".into())) } else { Ok(()) }
    };
    let (watched, store) = FaultyStore::new(&inner).after(lost).shared();
    let shows = CommandDispatcher::builder(store).handles::<AnnounceShow>().build()?;
    let unknown = shows.dispatch(announce()).command_id(COMMAND_ID).await;
    assert!(matches!(unknown, Err(DispatchError::Unavailable(_))));
    assert!(shows.dispatch(announce()).command_id(COMMAND_ID).await?.repeated);
    assert_eq!(watched.count(StoreCall::Append), 1);
    Ok(())
}

#[derive(Clone, Serialize, Deserialize)]
struct TicketsSold {
    booth: String,
    tickets: u32,
}

#[derive(Clone, Event)]
enum BoothMessage {
    #[factum(name = "theatre.booths.tickets-sold.v1")]
    Sold(TicketsSold),
}

#[derive(Default)]
struct Takings;

const TAKINGS: Table<u32> = Table::of::<Takings>("takings");

impl Projection for Takings {
    const NAME: &'static str = "takings";
    const VERSION: u32 = 1;
    type Event = BoothMessage;

    fn project(&self, message: &BoothMessage, _: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let BoothMessage::Sold(sold) = message;
        for key in [Key::from(sold.booth.as_str()), Key::from("all booths")] {
            let before = TAKINGS.get(tx, &key)?.unwrap_or(0);
            TAKINGS.put(tx, &key, &(before + sold.tickets))?;
        }
        Ok(())
    }
}

fn sold(booth: &str, tickets: u32) -> BoothMessage {
    BoothMessage::Sold(TicketsSold { booth: booth.to_owned(), tickets })
}

#[test]
fn takings_are_the_same_whatever_happens() {
    let sample = Sample::new()
        .on_topic("theatre.booths.booth.events")
        .after("booth-1", [sold("booth-1", 2), sold("booth-1", 1)])
        .after("booth-2", [sold("booth-2", 7)])
        .after("booth-1", [sold("booth-1", 4)]);
    conformance::projection::<Takings>(sample);
}
