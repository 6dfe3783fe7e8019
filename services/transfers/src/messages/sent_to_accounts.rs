//! What this service asks of `accounts`: its own types against the published contract.

use factum::{CommandChannel, Message, MessageType, StreamName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{AccountId, Currency};

/// Sets money aside for a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.hold-funds.v1")]
pub struct HoldFunds {
    /// The account that gives.
    pub account_id: AccountId,
    /// For which transfer.
    pub transfer_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// In which currency.
    pub currency: Currency,
}

/// Puts a transfer's money into an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.credit-account.v1")]
pub struct CreditAccount {
    /// The account that takes.
    pub account_id: AccountId,
    /// Which transfer brings it.
    pub transfer_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// In which currency.
    pub currency: Currency,
}

/// Takes out what was set aside for a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.capture-hold.v1")]
pub struct CaptureHold {
    /// The account that gives.
    pub account_id: AccountId,
    /// Which transfer.
    pub transfer_id: String,
}

/// Gives back what was set aside for a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.release-hold.v1")]
pub struct ReleaseHold {
    /// The account that keeps its money.
    pub account_id: AccountId,
    /// Which transfer.
    pub transfer_id: String,
}

/// Everything a transfer asks of accounts.
pub struct AccountCommands;

impl CommandChannel for AccountCommands {
    const TOPIC: &'static str = "bank.accounts.commands.transfers";
    const COMMANDS: &'static [MessageType] = &[
        MessageType::of::<HoldFunds>(),
        MessageType::of::<CreditAccount>(),
        MessageType::of::<CaptureHold>(),
        MessageType::of::<ReleaseHold>(),
    ];
}

/// The stream of an account, as accounts name it.
pub fn stream_of(account: AccountId) -> StreamName {
    StreamName::new(format!("account-{account}")).expect("a UUID makes a stream's name")
}
