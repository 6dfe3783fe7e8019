//! The auditor's own fold of the event log: per account what it must be, and every rule an event breaks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde_json::Value;
use uuid::Uuid;

use super::money;
use super::trail::{Movement, Step, Trail};
use super::transfer::{Leg, Legs, TransferFold};
use crate::client::{Log, LoggedEvent};

/// What stands before the account's UUID in a stream's name.
const ACCOUNT_PREFIX: &str = "account-";
/// What stands before the command's id in the name of a stream that holds how a bus command ended.
const OUTCOME_PREFIX: &str = "outcome-";
/// What an outcome may be.
const OUTCOMES: [&str; 2] = ["outcome.refused", "outcome.nothing-to-do"];
/// What stands before a topic and its partition in the name of a stream that keeps what came there and is no command.
const DEAD_LETTER_PREFIX: &str = "dead_letter-";
/// What may happen to those.
const DEAD_LETTERS: [&str; 2] = ["dead-letter.received", "dead-letter.acknowledged"];
/// What stands before a handler and a key in the name of a stream that tells what was parked of it and decided about it.
const QUARANTINE_PREFIX: &str = "quarantine-";
/// What may happen to that.
const QUARANTINED: [&str; 5] =
    ["quarantine.parked", "quarantine.failed", "quarantine.retried", "quarantine.released", "quarantine.discarded"];
/// What stands before an id in the name of a stream that holds what was decided about a fork.
const FORK_PREFIX: &str = "fork-";
/// What may be decided about one.
const FORKS: [&str; 1] = ["fork.accepted"];
/// What stands before the transfer's UUID in a stream's name.
const TRANSFER_PREFIX: &str = "transfer-";
/// What stands before a transfer's stream in the name of the one of its timers.
const TIMER_PREFIX: &str = "timer-transfer-";

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
    /// What transfers brought, in minor units.
    pub credited: i128,
    /// What transfers took, in minor units.
    pub captured: i128,
    /// What is held, in minor units, by transfer.
    pub holds: BTreeMap<Uuid, i128>,
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
    /// What transfers brought.
    pub transferred: i128,
}

impl DayFold {
    /// Whether no sum is more than the other's.
    pub fn is_within(&self, most: &Self) -> bool {
        self.deposited <= most.deposited && self.withdrawn <= most.withdrawn && self.transferred <= most.transferred
    }
}

impl fmt::Display for DayFold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deposited, withdrawn, transferred } = self;
        write!(f, "deposited {deposited}, withdrawn {withdrawn} and transferred {transferred} minor units")
    }
}

/// A log, as far as it was folded.
#[derive(Debug, Default)]
struct Read {
    position: u64,
    commands: HashSet<Uuid>,
}

/// Everything the logs say, as of their last folded events. Memory grows with accounts and transfers, and by 16 bytes an
/// event for the ids of the commands seen.
#[derive(Debug, Default)]
pub struct Ledger {
    of_accounts: Read,
    of_transfers: Read,
    accounts: HashMap<Uuid, AccountFold>,
    transfers: HashMap<Uuid, TransferFold>,
    legs: HashMap<Uuid, Legs>,
    days: HashMap<(String, String), DayFold>,
}

impl AccountFold {
    /// What came in less what went out, in minor units.
    pub fn balance(&self) -> i128 {
        self.deposited - self.withdrawn + self.credited - self.captured
    }

    /// What is held, in minor units.
    pub fn held(&self) -> i128 {
        self.holds.values().sum()
    }

    /// What of the balance is not held, in minor units.
    pub fn available(&self) -> i128 {
        self.balance() - self.held()
    }
}

impl Ledger {
    /// The position of the last folded event of a service.
    pub fn position(&self, log: Log) -> u64 {
        match log {
            Log::Accounts => self.of_accounts.position,
            Log::Transfers => self.of_transfers.position,
        }
    }

    /// The transfers ever asked for.
    pub fn transfers(&self) -> &HashMap<Uuid, TransferFold> {
        &self.transfers
    }

    /// What happened to accounts on behalf of transfers, by transfer.
    pub fn legs(&self) -> &HashMap<Uuid, Legs> {
        &self.legs
    }

    /// The accounts ever opened.
    pub fn accounts(&self) -> &HashMap<Uuid, AccountFold> {
        &self.accounts
    }

    /// What moved, by day in UTC (as `2026-11-23`) and currency.
    pub fn days(&self) -> &HashMap<(String, String), DayFold> {
        &self.days
    }

    /// Folds the next event of a service's log; returns every rule it breaks.
    pub fn apply(&mut self, log: Log, event: &LoggedEvent) -> Vec<String> {
        let mut broken = Vec::new();
        match log {
            // They move no money; what is parked there is not done yet.
            _ if event.stream.starts_with(QUARANTINE_PREFIX) => {
                self.go_on(log, event, &mut broken);
                if !QUARANTINED.contains(&event.name.as_str()) {
                    broken.push("is nothing that happens in a quarantine".to_owned());
                }
            }
            _ if event.stream.starts_with(FORK_PREFIX) => {
                self.go_on(log, event, &mut broken);
                if event.version != 1 || !FORKS.contains(&event.name.as_str()) {
                    broken.push("is no decision about a fork, or not the only one".to_owned());
                }
            }
            Log::Accounts => {
                self.go_on(log, event, &mut broken);
                self.of_accounts.note_command(event, &mut broken);
                self.apply_of_accounts(event, &mut broken);
            }
            Log::Transfers => {
                self.go_on(log, event, &mut broken);
                self.apply_of_transfers(event, &mut broken);
            }
        }
        let place = format!("{log} position {}, {} version {}", event.position, event.stream, event.version);
        broken.iter().map(|rule| format!("{place}: {} {rule}", event.name)).collect()
    }

    fn go_on(&mut self, log: Log, event: &LoggedEvent, broken: &mut Vec<String>) {
        match log {
            Log::Accounts => self.of_accounts.go_on(event, broken),
            Log::Transfers => self.of_transfers.go_on(event, broken),
        }
    }

    fn apply_of_accounts(&mut self, event: &LoggedEvent, broken: &mut Vec<String>) {
        if event.stream.starts_with(OUTCOME_PREFIX) {
            if event.version != 1 || !OUTCOMES.contains(&event.name.as_str()) {
                broken.push("is no outcome, or not the only one".to_owned());
            }
            return;
        }
        if event.stream.starts_with(DEAD_LETTER_PREFIX) {
            // They move no money, and nobody asked for them.
            if !DEAD_LETTERS.contains(&event.name.as_str()) {
                broken.push("is no dead letter".to_owned());
            }
            return;
        }
        match id_after(ACCOUNT_PREFIX, &event.stream) {
            Some(id) => self.apply_to_account(id, event, broken),
            None => broken.push("is in a stream that is no account's".to_owned()),
        }
    }

    fn apply_of_transfers(&mut self, event: &LoggedEvent, broken: &mut Vec<String>) {
        if id_after(TIMER_PREFIX, &event.stream).is_some() {
            // It was recorded with what the transfer made of it, under the same command.
            if event.name != "timer.fired" {
                broken.push("is of a type the audit does not know".to_owned());
            }
            return;
        }
        self.of_transfers.note_command(event, broken);
        match id_after(TRANSFER_PREFIX, &event.stream) {
            Some(id) => TransferFold::apply(self.transfers.entry(id), event, broken),
            None => broken.push("is in a stream that is no transfer's".to_owned()),
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
        let movement = match event.name.as_str() {
            "account.funds-deposited" => Movement::Deposited,
            "account.funds-withdrawn" => Movement::Withdrawn,
            "account.funds-held" => Movement::Held,
            "account.credited" => Movement::Credited,
            "account.hold-captured" => Movement::Captured,
            "account.hold-released" => Movement::Released,
            "account.closed" => return account.close(at, broken),
            _ => return broken.push("is of a type the audit does not know".to_owned()),
        };
        let transfer = movement.is_of_a_transfer().then(|| transfer_of(event, broken));
        let amount = account.move_money(movement, transfer, event, at, broken);
        let day = at.split('T').next().unwrap_or_default();
        let day = self.days.entry((day.to_owned(), account.currency.clone())).or_default();
        match movement {
            Movement::Deposited => day.deposited += amount,
            Movement::Withdrawn => day.withdrawn += amount,
            Movement::Credited => day.transferred += amount,
            _ => {}
        }
        if let Some(transfer) = transfer {
            let leg = Leg { account: id, amount, currency: account.currency.clone() };
            self.legs.entry(transfer).or_default().note(movement, leg, broken);
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
            credited: 0,
            captured: 0,
            holds: BTreeMap::new(),
            closed: false,
            updated_at: String::new(),
            trail: Trail::default(),
        };
        account.note_version(event.version, broken);
        account.step(Movement::Opened, None, at);
        self.accounts.insert(id, account);
    }
}

impl Read {
    fn go_on(&mut self, event: &LoggedEvent, broken: &mut Vec<String>) {
        if event.position != self.position + 1 {
            broken.push(format!("follows position {}: positions are not dense", self.position));
        }
        self.position = event.position;
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
}

/// The id in a stream's name.
fn id_after(prefix: &str, stream: &str) -> Option<Uuid> {
    Uuid::parse_str(stream.strip_prefix(prefix)?).ok()
}

/// Whom the event names as its cause.
fn transfer_of(event: &LoggedEvent, broken: &mut Vec<String>) -> Uuid {
    let id = event.data.get("transfer_id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
    id.unwrap_or_else(|| {
        broken.push("names no transfer".to_owned());
        Uuid::nil()
    })
}

impl AccountFold {
    fn note_version(&mut self, version: u64, broken: &mut Vec<String>) {
        if version != self.version + 1 {
            broken.push(format!("follows version {}: versions are not dense", self.version));
        }
        self.version = version;
    }

    fn close(&mut self, at: &str, broken: &mut Vec<String>) {
        if self.balance() != 0 || !self.holds.is_empty() {
            broken.push(format!("leaves a balance of {}, {} of it held", self.balance(), self.held()));
        }
        self.closed = true;
        self.step(Movement::Closed, None, at);
    }

    /// Answers the amount.
    fn move_money(
        &mut self,
        movement: Movement,
        transfer: Option<Uuid>,
        event: &LoggedEvent,
        at: &str,
        broken: &mut Vec<String>,
    ) -> i128 {
        let currency = event.data.get("currency").and_then(Value::as_str).unwrap_or_default();
        if currency != self.currency {
            broken.push(format!("moves {currency:?} on an account in {}", self.currency));
        }
        let number = |field: &str| event.data.get(field).and_then(Value::as_i64).map(i128::from);
        let amount = number("amount").unwrap_or_default();
        if amount <= 0 {
            broken.push("moves no positive amount".to_owned());
        }
        match movement {
            Movement::Deposited => self.deposited += amount,
            Movement::Withdrawn => self.withdrawn += amount,
            Movement::Credited => self.credited += amount,
            Movement::Captured => self.captured += amount,
            Movement::Held | Movement::Released | Movement::Opened | Movement::Closed => {}
        }
        if let Some(transfer) = transfer {
            self.change_hold(movement, transfer, amount, broken);
        }
        if self.available() < 0 {
            broken.push(format!("leaves a balance of {} with {} held", self.balance(), self.held()));
        }
        if number("balance") != Some(self.balance()) {
            broken.push(format!("records the balance {:?}, folded is {}", number("balance"), self.balance()));
        }
        // Events from before there were holds do not say that nothing is held.
        if number("held").unwrap_or_default() != self.held() {
            broken.push(format!("records {:?} as held, folded is {}", number("held"), self.held()));
        }
        self.step(movement, transfer, at);
        amount
    }

    fn change_hold(&mut self, movement: Movement, transfer: Uuid, amount: i128, broken: &mut Vec<String>) {
        if movement == Movement::Held {
            if self.holds.insert(transfer, amount).is_some() {
                broken.push(format!("holds twice for transfer {transfer}"));
            }
        } else if matches!(movement, Movement::Captured | Movement::Released) {
            let held = self.holds.remove(&transfer);
            if held != Some(amount) {
                broken.push(format!("ends a hold of {held:?} for transfer {transfer} with {amount}"));
            }
        }
    }

    fn step(&mut self, movement: Movement, transfer: Option<Uuid>, at: &str) {
        at.clone_into(&mut self.updated_at);
        let (version, balance) = (self.version, self.balance());
        self.trail = self.trail.then(Step { version, at, movement, balance, transfer });
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
