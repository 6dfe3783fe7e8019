//! The domain that the guide's pages speak of: seats of a show are reserved and released.

use std::collections::BTreeMap;

use factum::{Personal, prelude::*};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShowAnnounced {
    pub title: String,
    pub seats: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeatReserved {
    pub reservation: Uuid,
    pub seat: u32,
    pub guest: Personal<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeatReleased {
    pub seat: u32,
}

#[derive(Clone, Debug, PartialEq, Event)]
pub enum ShowEvent {
    #[factum(name = "show.announced")]
    Announced(ShowAnnounced),
    #[factum(name = "show.seat-reserved")]
    Reserved(SeatReserved),
    #[factum(name = "show.seat-released")]
    Released(SeatReleased),
}

#[derive(Clone, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "announce-show", aggregate = Show, id = show_id)]
pub struct AnnounceShow {
    pub show_id: Uuid,
    pub title: String,
    pub seats: u32,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "reserve-seat", aggregate = Show, id = show_id)]
pub struct ReserveSeat {
    pub show_id: Uuid,
    pub seat: u32,
    pub guest: Personal<String>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "release-seat", aggregate = Show, id = show_id)]
pub struct ReleaseSeat {
    pub show_id: Uuid,
    pub seat: u32,
}

/// What a decision about a show must know: which seats there are, and whose they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Show {
    pub seats: u32,
    pub reserved: BTreeMap<u32, Uuid>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ShowRejection {
    #[error("there is no such show")]
    NotFound,
    #[error("the show was announced before")]
    AlreadyAnnounced,
    #[error("there is no seat {0}")]
    NoSuchSeat(u32),
    #[error("seat {0} is taken: choose another")]
    SeatTaken(u32),
}

impl Rejection for ShowRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "show-not-found",
            Self::AlreadyAnnounced => "show-already-announced",
            Self::NoSuchSeat(_) => "no-such-seat",
            Self::SeatTaken(_) => "seat-taken",
        }
    }

    fn kind(&self) -> RejectionKind {
        match self {
            Self::NotFound | Self::NoSuchSeat(_) => RejectionKind::NotFound,
            Self::AlreadyAnnounced | Self::SeatTaken(_) => RejectionKind::Rule,
        }
    }
}

impl Aggregate for Show {
    const CATEGORY: &'static str = "show";
    type Id = Uuid;
    type Event = ShowEvent;
    type Rejection = ShowRejection;

    fn apply(&mut self, event: &ShowEvent) {
        match event {
            ShowEvent::Announced(announced) => self.seats = announced.seats,
            ShowEvent::Reserved(reserved) => {
                self.reserved.insert(reserved.seat, reserved.reservation);
            }
            ShowEvent::Released(released) => {
                self.reserved.remove(&released.seat);
            }
        }
    }
}

impl Handle<AnnounceShow> for Show {
    fn handle(&self, command: &AnnounceShow, context: &Context) -> Result<Events<ShowEvent>, ShowRejection> {
        if context.version() > factum::Version::ZERO {
            return Err(ShowRejection::AlreadyAnnounced);
        }
        Ok(ShowEvent::from(ShowAnnounced { title: command.title.clone(), seats: command.seats }).into())
    }
}

impl Handle<ReserveSeat> for Show {
    fn handle(&self, command: &ReserveSeat, context: &Context) -> Result<Events<ShowEvent>, ShowRejection> {
        match command.seat {
            _ if self.seats == 0 => Err(ShowRejection::NotFound),
            seat if seat == 0 || seat > self.seats => Err(ShowRejection::NoSuchSeat(seat)),
            seat if self.reserved.contains_key(&seat) => Err(ShowRejection::SeatTaken(seat)),
            seat => {
                let reservation = context.derived_id("reservation");
                Ok(ShowEvent::from(SeatReserved { reservation, seat, guest: command.guest.clone() }).into())
            }
        }
    }
}

impl Handle<ReleaseSeat> for Show {
    fn handle(&self, command: &ReleaseSeat, _: &Context) -> Result<Events<ShowEvent>, ShowRejection> {
        if !self.reserved.contains_key(&command.seat) {
            return Ok(Events::none());
        }
        Ok(ShowEvent::from(SeatReleased { seat: command.seat }).into())
    }
}
