//! `docs/guide/reactors.md`.

use std::{
    error::Error,
    sync::{Arc, Mutex},
};

use factum::{
    Outside, Personal, Reactions, Reactor,
    model::EffectId,
    prelude::*,
    reactor::{EffectError, Since},
    store::{EventStore, MemoryStore},
    testing::{delivery, settle},
};

use uuid::Uuid;

use super::{
    page_shows,
    shows::{AnnounceShow, ReserveSeat, SeatReserved, ShowEvent},
};

/// Whoever prints tickets: remembers which it has printed.
#[derive(Clone, Default)]
pub struct Printer(Arc<Mutex<Vec<(EffectId, String)>>>);

impl Printer {
    async fn print(&self, id: EffectId, ticket: &str) -> Result<(), &'static str> {
        let mut printed = self.0.lock().map_err(|_| "the printer jams")?;
        if printed.iter().all(|(known, _)| *known != id) {
            printed.push((id, ticket.to_owned()));
        }
        Ok(())
    }
}

pub struct Tickets {
    printer: Printer,
}

impl Reactor for Tickets {
    const NAME: &'static str = "tickets";
    const SINCE: Since = Since::Beginning;
    type Event = ShowEvent;
    type Effect = String;

    fn react(&self, event: &ShowEvent, delivery: &Delivery) -> Reactions<String> {
        match event {
            ShowEvent::Reserved(SeatReserved { seat, .. }) => {
                Reactions::one(format!("{}, seat {seat}", delivery.aggregate_id()))
            }
            _ => Reactions::none(),
        }
    }

    async fn perform(&self, ticket: &String, outside: &Outside) -> Result<(), EffectError> {
        let printed = self.printer.print(outside.id(), ticket).await;
        printed.map_err(|error| EffectError::Later(error.to_owned()))
    }
}

#[test]
fn the_page_shows_what_is_compiled() {
    page_shows(include_str!("../../../../../docs/guide/reactors.md"), &[include_str!("reactors.rs")]);
}

#[test]
fn what_is_done_about_an_event_is_data() {
    let tickets = Tickets { printer: Printer::default() };
    let (reservation, guest) = (Uuid::nil(), Personal::known("Ada".to_owned()));
    let reserved = ShowEvent::from(SeatReserved { reservation, seat: 7, guest });
    let reactions = tickets.react(&reserved, &delivery("show-figaro", 2));
    assert_eq!(reactions.as_slice(), ["figaro, seat 7"]);
}

#[tokio::test]
async fn every_reservation_has_its_ticket() -> Result<(), Box<dyn Error>> {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let printer = Printer::default();

    let shows = Service::builder("theatre", "shows")
        .store(Arc::clone(&store))
        .handles::<AnnounceShow>()
        .handles::<ReserveSeat>()
        .reacts(Tickets { printer: printer.clone() })
        .start()
        .await?;

    let show_id = Uuid::from_u128(1);
    shows.commands().dispatch(AnnounceShow { show_id, title: "Figaro".to_owned(), seats: 300 }).await?;
    let guest = Personal::known("Ada".to_owned());
    shows.commands().dispatch(ReserveSeat { show_id, seat: 7, guest }).await?;
    settle(&[&shows]).await?;
    let printed = printer.0.lock().expect("nobody panicked").clone();
    assert_eq!(printed.len(), 1);
    assert_eq!(printed[0].1, format!("{show_id}, seat 7"));
    Ok(())
}
