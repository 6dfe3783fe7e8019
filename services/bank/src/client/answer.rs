//! What the bank answers, as far as its tools look at it. Unknown fields are tolerated.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The answer to an accepted command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// Makes a query wait until this command is visible.
    pub token: String,
    /// The version of the stream after the command.
    pub version: u64,
}

/// The answer of `/readyz`, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Readiness {
    /// Whether the service can be sent requests, with none of its loops failed.
    pub ready: bool,
    /// Why not.
    pub reason: String,
}

/// The answer of `/admin/read-models`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ReadModels {
    pub(super) read_models: Vec<ReadModel>,
}

/// How a read model is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReadModel {
    /// The projection's name.
    pub projection: String,
    /// Its version.
    pub version: u32,
    /// The generations that are there.
    pub generations: Vec<Generation>,
    /// What is under way.
    pub operation: Option<String>,
    /// What it is doing.
    pub step: String,
    /// How far a filling is.
    pub progress: Option<FillingProgress>,
    /// What stands in its way.
    pub trouble: Option<String>,
    /// How the last operation ended.
    pub last: Option<OperationDone>,
}

/// A generation of a read model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Generation {
    /// Its number.
    pub generation: u32,
    /// What it is there for.
    pub role: String,
    /// What stands in its way.
    pub trouble: Option<String>,
    /// How much of the time it is fed beside the one that answers, at most.
    pub share_percent: Option<u32>,
}

/// How far a filling is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct FillingProgress {
    /// Positions done.
    pub done: u64,
    /// Positions there are to do.
    pub total: u64,
    /// Positions a second.
    pub per_second: u64,
    /// How long the rest takes.
    pub seconds_left: Option<u64>,
}

impl fmt::Display for FillingProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, total, per_second, seconds_left } = self;
        let percent = done.saturating_mul(100).checked_div(*total).unwrap_or(0);
        write!(f, " {done} of {total} ({percent} %), {per_second}/s")?;
        seconds_left.map_or(Ok(()), |left| write!(f, ", {left} s left"))
    }
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OperationDone {
    /// Whether it did what it was to do.
    pub ok: bool,
    /// What it came to, or why it did not.
    pub text: String,
    /// Of the documents it compared.
    pub checksum: Option<String>,
}

/// One line of `GET /admin/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// The place in the whole store, dense, from 1.
    pub position: u64,
    /// The stream, as `account-<uuid>`.
    pub stream: String,
    /// The place in the stream, dense, from 1.
    pub version: u64,
    /// The event's wire name, as `account.funds-deposited`.
    #[serde(rename = "type")]
    pub name: String,
    /// The event's own fields.
    pub data: Value,
    /// Who, when and why.
    #[serde(default)]
    pub metadata: EventMetadata,
}

/// What is recorded beside an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EventMetadata {
    /// The command that caused it.
    #[serde(default)]
    pub command_id: Option<String>,
    /// When it was recorded.
    #[serde(default)]
    pub recorded_at: Option<String>,
    /// Everything else, kept so that it can be shown.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The answer to `account-summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The account's UUID.
    pub account_id: String,
    /// Whose account it is; no plain text once the holder is forgotten.
    pub holder: Value,
    /// `open` or `closed`.
    pub status: String,
    /// A decimal with exactly the currency's decimals.
    pub balance: String,
    /// The balance without what is held.
    pub available: String,
    /// The ISO 4217 code.
    pub currency: String,
    /// The version of the account this shows.
    pub version: u64,
    /// When that version was recorded.
    #[serde(default)]
    pub updated_at: Option<String>,
}

/// One page of the answer to `statement`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Oldest first.
    pub lines: Vec<StatementLine>,
    /// Where the next page begins; none on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// One line of a statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatementLine {
    /// The version of the account after it.
    pub version: u64,
    /// When it was recorded.
    #[serde(default)]
    pub at: Option<String>,
    /// `opened`, `deposited`, `withdrawn`, `held`, `credited`, `captured`, `released` or `closed`.
    pub kind: String,
    /// A signed decimal; none where no money moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// The balance after it.
    pub balance: String,
    /// The transfer that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_id: Option<String>,
}

/// The answer to `transfer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferStatus {
    /// The transfer's UUID.
    pub transfer_id: String,
    /// The account that gives.
    pub from: String,
    /// The account that takes.
    pub to: String,
    /// A decimal with exactly the currency's decimals.
    pub amount: String,
    /// The ISO 4217 code.
    pub currency: String,
    /// `pending`, `completed` or `rejected`.
    pub status: String,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One page of the answer to `accounts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountsPage {
    /// In the order of their ids.
    pub accounts: Vec<Summary>,
    /// Where the next page begins; none on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// The answer to `daily-totals`, as decimals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayOfTotals {
    /// The day in UTC, as `2026-11-23`.
    pub date: String,
    /// The ISO 4217 code.
    pub currency: String,
    /// What came in.
    pub deposited: String,
    /// What went out.
    pub withdrawn: String,
    /// What went from one account to another.
    pub transferred: String,
}
