//! The auditor's own fold of the event log: per account what it must be, and every rule an event breaks.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde_json::Value;
use uuid::Uuid;

use super::money;
use super::trail::{Movement, Step, Trail};
use crate::client::LoggedEvent;

/// What stands before the account's UUID in a stream's name.
const STREAM_PREFIX: &str = "account-";

/// What an account must be, after its events.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountFold {
    /// The number of its events.
    pub version: u64,
    /// As the opening event has it.
    pub holder: Value,
    /// The ISO 4217 code.
    pub currency: String,
    /// The currency's decimals.
    pub decimals: u32,
    /// What came in, in minor units.
    pub deposited: i128,
    /// What went out, in minor units.
    pub withdrawn: i128,
    /// Whether nothing may come any more.
    pub closed: bool,
    /// When the last event was recorded.
    pub updated_at: String,
    /// The digest of all steps.
    pub trail: Trail,
}

/// What moved on a day in a currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayFold {
    /// What came in.
    pub deposited: i128,
    /// What went out.
    pub withdrawn: i128,
}

impl fmt::Display for DayFold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deposited {} and withdrawn {} minor units", self.deposited, self.withdrawn)
    }
}

/// Everything the log says, as of its last folded event. Memory grows with accounts, and by 16 bytes an event for the
/// ids of the commands seen.
#[derive(Debug, Default)]
pub struct Ledger {
    position: u64,
    accounts: HashMap<Uuid, AccountFold>,
    days: HashMap<(String, String), DayFold>,
    commands: HashSet<Uuid>,
}

impl AccountFold {
    /// Deposits less withdrawals, in minor units.
    pub fn balance(&self) -> i128 {
        self.deposited - self.withdrawn
    }
}

impl Ledger {
    /// The position of the last folded event.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The accounts ever opened.
    pub fn accounts(&self) -> &HashMap<Uuid, AccountFold> {
        &self.accounts
    }

    /// What moved, by day in UTC (as `2026-11-23`) and currency.
    pub fn days(&self) -> &HashMap<(String, String), DayFold> {
        &self.days
    }

    /// Folds the next event of the log; returns every rule it breaks.
    pub fn apply(&mut self, event: &LoggedEvent) -> Vec<String> {
        let mut broken = Vec::new();
        if event.position != self.position + 1 {
            broken.push(format!("follows position {}: positions are not dense", self.position));
        }
        self.position = event.position;
        self.note_command(event, &mut broken);
        match event.stream.strip_prefix(STREAM_PREFIX).map(Uuid::parse_str) {
            Some(Ok(id)) => self.apply_to_account(id, event, &mut broken),
            _ => broken.push("is in a stream that is no account's".to_owned()),
        }
        let place = format!("position {}, {} version {}", event.position, event.stream, event.version);
        broken.iter().map(|rule| format!("{place}: {} {rule}", event.name)).collect()
    }

    fn note_command(&mut self, event: &LoggedEvent, broken: &mut Vec<String>) {
        let Some(command) = &event.metadata.command_id else {
            return broken.push("names no command".to_owned());
        };
        let id = Uuid::parse_str(command).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, command.as_bytes()));
        if !self.commands.insert(id) {
            broken.push(format!("repeats the effect of command {command}"));
        }
    }

    fn apply_to_account(&mut self, id: Uuid, event: &LoggedEvent, broken: &mut Vec<String>) {
        let at = event.metadata.recorded_at.as_deref().unwrap_or_default();
        if event.name == "account.opened" {
            return self.open(id, event, at, broken);
        }
        let Some(account) = self.accounts.get_mut(&id) else {
            return broken.push("comes before its account was opened".to_owned());
        };
        account.note_version(event.version, broken);
        if account.closed {
            broken.push("comes after the account was closed".to_owned());
        }
        match event.name.as_str() {
            "account.funds-deposited" => {
                let amount = account.move_money(Movement::Deposited, event, at, broken);
                day_of(&mut self.days, at, account).deposited += amount;
            }
            "account.funds-withdrawn" => {
                let amount = account.move_money(Movement::Withdrawn, event, at, broken);
                day_of(&mut self.days, at, account).withdrawn += amount;
            }
            "account.closed" => {
                if account.balance() != 0 {
                    broken.push(format!("leaves a balance of {}", account.balance()));
                }
                account.closed = true;
                account.step(Movement::Closed, at);
            }
            _ => broken.push("is of a type the audit does not know".to_owned()),
        }
    }

    fn open(&mut self, id: Uuid, event: &LoggedEvent, at: &str, broken: &mut Vec<String>) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.note_version(event.version, broken);
            return broken.push("opens an account that is there already".to_owned());
        }
        let currency = event.data.get("currency").and_then(Value::as_str).unwrap_or_default();
        let decimals = money::decimals(currency);
        if decimals.is_none() {
            broken.push(format!("is in a currency that does not exist: {currency:?}"));
        }
        let mut account = AccountFold {
            version: 0,
            holder: event.data.get("holder").cloned().unwrap_or_default(),
            currency: currency.to_owned(),
            decimals: decimals.unwrap_or_default(),
            deposited: 0,
            withdrawn: 0,
            closed: false,
            updated_at: String::new(),
            trail: Trail::default(),
        };
        account.note_version(event.version, broken);
        account.step(Movement::Opened, at);
        self.accounts.insert(id, account);
    }
}

/// The day of a moment, in the account's currency. Moments are recorded in UTC, the day first.
fn day_of<'a>(days: &'a mut HashMap<(String, String), DayFold>, at: &str, account: &AccountFold) -> &'a mut DayFold {
    let day = at.split('T').next().unwrap_or_default();
    days.entry((day.to_owned(), account.currency.clone())).or_default()
}

impl AccountFold {
    fn note_version(&mut self, version: u64, broken: &mut Vec<String>) {
        if version != self.version + 1 {
            broken.push(format!("follows version {}: versions are not dense", self.version));
        }
        self.version = version;
    }

    /// Answers the amount.
    fn move_money(&mut self, movement: Movement, event: &LoggedEvent, at: &str, broken: &mut Vec<String>) -> i128 {
        let currency = event.data.get("currency").and_then(Value::as_str).unwrap_or_default();
        if currency != self.currency {
            broken.push(format!("moves {currency:?} on an account in {}", self.currency));
        }
        let amount = event.data.get("amount").and_then(Value::as_i64).map_or(0, i128::from);
        if amount <= 0 {
            broken.push("moves no positive amount".to_owned());
        }
        match movement {
            Movement::Withdrawn => self.withdrawn += amount,
            _ => self.deposited += amount,
        }
        if self.balance() < 0 {
            broken.push(format!("leaves a negative balance of {}", self.balance()));
        }
        let recorded = event.data.get("balance").and_then(Value::as_i64).map(i128::from);
        if recorded != Some(self.balance()) {
            broken.push(format!("records the balance {recorded:?}, folded is {}", self.balance()));
        }
        self.step(movement, at);
        amount
    }

    fn step(&mut self, movement: Movement, at: &str) {
        at.clone_into(&mut self.updated_at);
        self.trail = self.trail.then(Step { version: self.version, at, movement, balance: self.balance() });
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
