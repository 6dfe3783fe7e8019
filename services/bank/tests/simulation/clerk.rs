//! A process manager of the simulation's own: for each account a clerk, who counts whatever happens to it, and rings when
//! nothing has for a while. Unlike a transfer it decides the same whatever it has heard before, so that nothing but the ids
//! of its commands keeps it from counting twice. In some worlds it cannot read what is of one account, until that is mended.

use std::{cell::Cell, convert::Infallible, time::Duration};

use factum::{
    Event,
    model::{DecodeError, Decoded, RawEvent},
    prelude::*,
};
use serde::{Deserialize, Serialize};
use statements::messages::{ACCOUNT_TOPIC, AccountMessage};
use uuid::Uuid;

/// After so long without a message it rings.
const QUIET: Duration = Duration::from_millis(1_500);
const BELLS: [&str; 3] = ["bell", "gong", "whistle"];

thread_local! {
    /// The account of which it can read nothing. A world has a thread for itself.
    static FAILS_ON: Cell<Option<Uuid>> = const { Cell::new(None) };
}

/// From now on nothing can be read of this account, or everything.
pub(crate) fn fails_on(account: Option<Uuid>) {
    FAILS_ON.set(account);
}

/// What it hears.
#[derive(Clone)]
pub(crate) struct Note;

impl Event for Note {
    fn names() -> &'static [&'static str] {
        AccountMessage::names()
    }

    fn name(&self) -> &'static str {
        unreachable!("it is heard, never written")
    }

    fn encode(&self, _: &mut Vec<u8>) {
        unreachable!("it is heard, never written")
    }

    fn decode(raw: RawEvent<'_>) -> Result<Decoded<Self>, DecodeError> {
        let of = |account: Uuid| String::from_utf8_lossy(raw.data).contains(&account.to_string());
        if FAILS_ON.get().is_some_and(of) {
            return Err(DecodeError::NewerSchema { name: raw.name.to_owned(), found: 2, known: 1 });
        }
        Ok(match AccountMessage::decode(raw)? {
            Decoded::Known(_) => Decoded::Known(Self),
            Decoded::Unknown => Decoded::Unknown,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rang {}

#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub(crate) enum ClerkEvent {
    #[factum(name = "clerk.counted")]
    Counted(Counted),
    #[factum(name = "clerk.rang")]
    Rang(Rang),
}

#[derive(Clone, Default)]
pub(crate) struct Clerk;

impl Aggregate for Clerk {
    const CATEGORY: &'static str = "clerk";
    type Id = Uuid;
    type Event = ClerkEvent;
    type Rejection = Infallible;

    fn apply(&mut self, _: &ClerkEvent) {}
}

impl ProcessManager for Clerk {
    type Message = Note;
    const TOPICS: &'static [&'static str] = &[ACCOUNT_TOPIC];
    const CHANNELS: &'static [ChannelSpec] = &[];

    fn correlate(_: &Note, delivery: &Delivery) -> Option<Uuid> {
        delivery.aggregate_id().parse().ok()
    }

    fn decide(&self, input: Input<'_, Note>, _: &Context) -> Events<ClerkEvent> {
        match input {
            Input::Message { .. } => Events::one(Counted {}),
            Input::Due { .. } => Events::one(Rang {}),
            Input::Refused { .. } | Input::NothingToDo { .. } => Events::none(),
        }
    }

    fn effects(event: &ClerkEvent, delivery: &Delivery) -> Effects {
        match event {
            ClerkEvent::Counted(_) => {
                BELLS.into_iter().fold(Effects::none(), |effects, bell| effects.due_after(bell, delivery, QUIET))
            }
            ClerkEvent::Rang(_) => Effects::none(),
        }
    }
}
