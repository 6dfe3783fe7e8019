//! What only the compiler can see: no handler, an id of another type, a check of another shape.

use factum::{Aggregate, Command, Context, Event, Events, Handle, Rejection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Event)]
enum NoEvent {}

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct Refused;

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        "refused"
    }
}

#[derive(Clone, Default)]
struct Account;

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = uuid::Uuid;
    type Event = NoEvent;
    type Rejection = Refused;

    fn apply(&mut self, event: &NoEvent) {
        match *event {}
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "without-handler", aggregate = Account, id = account_id)]
struct WithoutHandler {
    account_id: uuid::Uuid,
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "foreign-id", aggregate = Account, id = account_id)]
struct ForeignId {
    account_id: String,
}

impl Handle<ForeignId> for Account {
    fn handle(&self, _: &ForeignId, _: &Context) -> Result<Events<NoEvent>, Refused> {
        Ok(Events::none())
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "odd-check", aggregate = Account, id = account_id, validate = OddCheck::check)]
struct OddCheck {
    account_id: uuid::Uuid,
}

impl OddCheck {
    fn check(&self) -> bool {
        true
    }
}

impl Handle<OddCheck> for Account {
    fn handle(&self, _: &OddCheck, _: &Context) -> Result<Events<NoEvent>, Refused> {
        Ok(Events::none())
    }
}

fn main() {}
