//! The auditor's own fold of transfers: how far each is, and what accounts did on its behalf.

use std::collections::hash_map::Entry;
use std::fmt;

use serde_json::Value;
use uuid::Uuid;

use super::money;
use super::trail::Movement;
use crate::client::LoggedEvent;

/// How far a transfer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The hold was asked for.
    Holding,
    /// The credit was asked for.
    Crediting,
    /// The capture was asked for.
    Capturing,
    /// The release was asked for, for this reason.
    Releasing(String),
    /// The money has moved.
    Completed,
    /// The money is where it was, for this reason.
    Rejected(String),
}

/// What a transfer must be, after its events.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferFold {
    /// The number of its events.
    pub version: u64,
    /// The account that gives.
    pub from: Uuid,
    /// The account that takes.
    pub to: Uuid,
    /// How much, in minor units.
    pub amount: i128,
    /// The ISO 4217 code.
    pub currency: String,
    /// The currency's decimals.
    pub decimals: u32,
    /// How far it is.
    pub state: State,
    /// Whether it heard that the money was held.
    pub was_held: bool,
}

/// Something that happened to an account on behalf of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Which account.
    pub account: Uuid,
    /// How much, in minor units.
    pub amount: i128,
    /// The account's currency.
    pub currency: String,
}

/// Everything that happened to accounts on behalf of a transfer, each at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legs {
    held: Option<Leg>,
    credited: Option<Leg>,
    captured: Option<Leg>,
    released: Option<Leg>,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holding => f.write_str("waits for the hold"),
            Self::Crediting => f.write_str("waits for the credit"),
            Self::Capturing => f.write_str("waits for the capture"),
            Self::Releasing(reason) => write!(f, "waits for the release ({reason})"),
            Self::Completed => f.write_str("completed"),
            Self::Rejected(reason) => write!(f, "rejected ({reason})"),
        }
    }
}

impl State {
    /// Whether nothing may come any more.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Completed | Self::Rejected(_))
    }
}

impl TransferFold {
    /// Folds the next event of a transfer; notes every rule it breaks.
    pub fn apply(place: Entry<'_, Uuid, Self>, event: &LoggedEvent, broken: &mut Vec<String>) {
        let transfer = match (event.name.as_str(), place) {
            ("transfer.requested", Entry::Vacant(place)) => place.insert(Self::requested(event, broken)),
            (_, Entry::Vacant(_)) => return broken.push("comes before its transfer was requested".to_owned()),
            ("transfer.requested", Entry::Occupied(_)) => {
                return broken.push("requests a transfer that is there already".to_owned());
            }
            (_, Entry::Occupied(place)) => {
                let transfer = place.into_mut();
                transfer.go_on(event, broken);
                transfer
            }
        };
        if event.version != transfer.version + 1 {
            broken.push(format!("follows version {}: versions are not dense", transfer.version));
        }
        transfer.version = event.version;
    }

    fn requested(event: &LoggedEvent, broken: &mut Vec<String>) -> Self {
        let text = |field: &str| event.data.get(field).and_then(Value::as_str).unwrap_or_default();
        let id = |field: &str| Uuid::parse_str(text(field)).unwrap_or_default();
        let (from, to, currency) = (id("from"), id("to"), text("currency"));
        let amount = amount(event).unwrap_or_default();
        if from == to || from.is_nil() || to.is_nil() || amount <= 0 {
            broken.push(format!("asks for {amount} from {from} to {to}"));
        }
        let decimals = money::decimals(currency);
        if decimals.is_none() {
            broken.push(format!("is in a currency that does not exist: {currency:?}"));
        }
        let (currency, decimals) = (currency.to_owned(), decimals.unwrap_or_default());
        Self { version: 0, from, to, amount, currency, decimals, state: State::Holding, was_held: false }
    }

    /// Any event but the first.
    fn go_on(&mut self, event: &LoggedEvent, broken: &mut Vec<String>) {
        self.note_terms(event, broken);
        let reason = || event.data.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
        let next = match (&self.state, event.name.as_str()) {
            (State::Holding, "transfer.hold-overdue")
            | (State::Crediting, "transfer.credit-overdue")
            | (State::Capturing | State::Releasing(_), "transfer.stalled") => return,
            (State::Holding, "transfer.funds-held") => {
                self.was_held = true;
                State::Crediting
            }
            (State::Crediting, "transfer.target-credited") => State::Capturing,
            (State::Crediting, "transfer.credit-refused") => State::Releasing(reason()),
            (State::Capturing, "transfer.completed") => State::Completed,
            (State::Holding, "transfer.rejected") => State::Rejected(reason()),
            (State::Releasing(why), "transfer.rejected") => {
                if *why != reason() {
                    broken.push(format!("is for the reason {:?}, the credit was refused for {why:?}", reason()));
                }
                State::Rejected(why.clone())
            }
            (state, _) => return broken.push(format!("comes to a transfer that {state}")),
        };
        self.state = next;
    }

    /// What an event says again of what was asked for, it must say as it was asked for.
    fn note_terms(&self, event: &LoggedEvent, broken: &mut Vec<String>) {
        let (from, to, amount) = (self.from.to_string(), self.to.to_string(), self.amount.to_string());
        let terms = [("from", from), ("to", to), ("amount", amount), ("currency", self.currency.clone())];
        for (field, asked) in terms {
            let said = event.data.get(field).map(|said| said.as_str().map_or_else(|| said.to_string(), str::to_owned));
            if said.as_ref().map_or(event.name == "transfer.funds-held", |said| *said != asked) {
                let said = said.unwrap_or_else(|| "nothing".to_owned());
                broken.push(format!("has {said} as {field}, asked for was {asked}"));
            }
        }
    }

    /// What is wrong with what accounts did for a transfer that has ended; nothing while it is under way.
    pub fn differs_from(&self, legs: &Legs) -> Option<String> {
        let at = |account: Uuid| Leg { account, amount: self.amount, currency: self.currency.clone() };
        let (source, target) = (Some(at(self.from)), Some(at(self.to)));
        let must = match &self.state {
            State::Completed => Legs { held: source.clone(), credited: target, captured: source, released: None },
            State::Rejected(_) if !self.was_held => Legs::default(),
            State::Rejected(_) => Legs { held: source.clone(), credited: None, captured: None, released: source },
            State::Holding | State::Crediting | State::Capturing | State::Releasing(_) => return None,
        };
        let pairs = [
            ("held", &legs.held, &must.held),
            ("credited", &legs.credited, &must.credited),
            ("captured", &legs.captured, &must.captured),
            ("released", &legs.released, &must.released),
        ];
        let (what, is, must) = pairs.into_iter().find(|(_, is, must)| is != must)?;
        let text = |leg: &Option<Leg>| {
            leg.as_ref().map_or_else(
                || "nothing".to_owned(),
                |leg| format!("{} {} on {}", leg.amount, leg.currency, leg.account),
            )
        };
        Some(format!("it is {}, but {} is {what}, where it must be {}", self.state, text(is), text(must)))
    }
}

impl Legs {
    /// Notes one more.
    pub fn note(&mut self, movement: Movement, leg: Leg, broken: &mut Vec<String>) {
        let place = match movement {
            Movement::Held => &mut self.held,
            Movement::Credited => &mut self.credited,
            Movement::Captured => &mut self.captured,
            Movement::Released => &mut self.released,
            Movement::Opened | Movement::Deposited | Movement::Withdrawn | Movement::Closed => return,
        };
        if place.replace(leg).is_some() {
            broken.push(format!("is {} twice for one transfer", movement.kind()));
        }
    }
}

fn amount(event: &LoggedEvent) -> Option<i128> {
    event.data.get("amount").and_then(Value::as_i64).map(i128::from)
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
