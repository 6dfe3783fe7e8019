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

/// The answer to `/admin/forks`.
#[derive(Debug, Deserialize)]
pub(super) struct Forks {
    pub(super) forks: Vec<Fork>,
}

/// The answer to `/admin/forks/accept`.
#[derive(Debug, Deserialize)]
pub(super) struct AcceptedForks {
    pub(super) accepted: Vec<AcceptedFork>,
}

/// A fork from which a consumer goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedFork {
    /// Where it stood.
    pub fork: Fork,
    /// It goes on already.
    pub goes_on: bool,
}

/// A consumer that stands at a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The consumer.
    pub consumer: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The store that was restored.
    pub source: String,
    /// The history that was left.
    pub left: String,
    /// The history that it goes on with.
    pub history: String,
    /// The last position that the two share.
    pub fork: u64,
    /// The last position that was heard of the one that was left.
    pub watermark: u64,
    /// What was heard beyond the fork.
    pub heard: HeardBeyond,
}

/// What was heard beyond a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardBeyond {
    /// How many messages.
    pub count: u64,
    /// Whether there are no more.
    pub all: bool,
    /// The processes whose commands they answered.
    pub processes: Vec<String>,
    /// The first of the messages.
    pub messages: Vec<HeardMessage>,
}

/// A message beyond a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardMessage {
    /// Its position in the history that was left.
    pub position: u64,
    /// The id of its event, which is gone.
    pub event_id: String,
    /// Its name.
    pub name: String,
    /// The stream of its event.
    pub stream: String,
    /// The process whose command it answered.
    pub process: Option<String>,
}

/// The answer to `/admin/quarantine`.
#[derive(Debug, Deserialize)]
pub(super) struct Quarantine {
    pub(super) keys: Vec<ParkedKey>,
}

/// The answer to `/admin/quarantine/messages`.
#[derive(Debug, Deserialize)]
pub(super) struct Parked {
    pub(super) parked: Vec<ParkedMessages>,
}

/// A key that is quarantined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedKey {
    /// What has it parked: a projection, `process/…` or `reactor/…`.
    pub handler: String,
    /// Its version, where it has one.
    pub version: Option<u32>,
    /// The key.
    pub key: String,
    /// Why its first message failed.
    pub reason: String,
    /// When it was parked.
    pub since: String,
    /// How often its first message was tried.
    pub attempts: u32,
    /// How many messages are parked.
    pub messages: u64,
    /// The id of the event of its first message.
    pub event_id: String,
    /// The name of its first message.
    pub name: String,
    /// Everything else, kept so that it can be shown.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A key with its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedMessages {
    /// The key.
    pub about: ParkedKey,
    /// Its messages, in order.
    pub messages: Vec<ParkedMessage>,
    /// After which message to ask for the rest; none: this is all.
    pub next: Option<String>,
}

/// A message that is quarantined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedMessage {
    /// The id of its event.
    pub event_id: String,
    /// Its name.
    pub name: String,
    /// Its stream.
    pub stream: String,
    /// Its number in that stream.
    pub version: u64,
    /// Its position in its store.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: String,
    /// Its document as text.
    pub data: Option<String>,
    /// Its document, where it is no text.
    pub data_base64: Option<String>,
    /// Everything else, kept so that it can be shown.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The answer to `/admin/quarantine/retry-all`.
#[derive(Debug, Deserialize)]
pub struct RetriedKeys {
    /// Each key that was tried, in order.
    pub keys: Vec<RetriedKey>,
    /// After which key to ask for the rest; none: these were the last ones.
    pub next: Option<String>,
}

/// What became of a quarantined key's messages, when all keys were tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetriedKey {
    /// The key.
    pub key: String,
    /// What became of its messages.
    #[serde(flatten)]
    pub handled: Handled,
}

/// What became of a quarantined key's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handled {
    /// How many are parked no longer.
    pub done: u64,
    /// How many still are.
    pub left: u64,
    /// Why the first of those failed again.
    pub failed: Option<String>,
}

/// What came to accounts as a command and is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// How many nobody has acknowledged.
    pub open: u64,
    /// The first of them.
    pub letters: Vec<DeadLetter>,
}

/// A record that is no command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The id of the event that keeps it.
    pub event_id: String,
    /// When it came.
    pub received_at: String,
    /// Where it came.
    pub topic: String,
    /// Where on that topic.
    pub partition: u32,
    /// Where on that partition.
    pub offset: u64,
    /// Why it is no command.
    pub reason: String,
    /// The beginning of it, where it is text.
    pub text: Option<String>,
    /// Its size in bytes.
    pub value_bytes: u64,
    /// Everything else, kept so that it can be shown.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// What became of letters that were acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// How many wait no longer.
    pub done: u64,
    /// How many still wait.
    pub left: u64,
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
