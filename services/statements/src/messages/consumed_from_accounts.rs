//! The messages of `accounts`, as far as this service reads them: its own types against the published contract.
//! Fields and messages it does not name are tolerated.

use factum::{Event, Personal};
use serde::{Deserialize, Serialize};

use crate::money::Currency;

/// Where they come from.
pub const ACCOUNT_TOPIC: &str = "bank.accounts.account.events";

/// A message about an account.
#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub enum AccountMessage {
    /// An account was opened.
    #[factum(name = "bank.accounts.account-opened.v1")]
    Opened(AccountOpened),
    /// Money came in.
    #[factum(name = "bank.accounts.funds-deposited.v1")]
    Deposited(FundsDeposited),
    /// Money went out.
    #[factum(name = "bank.accounts.funds-withdrawn.v1")]
    Withdrawn(FundsWithdrawn),
    /// Money was set aside for a transfer.
    #[factum(name = "bank.accounts.funds-held.v1")]
    Held(FundsHeld),
    /// A transfer brought money.
    #[factum(name = "bank.accounts.account-credited.v1")]
    Credited(AccountCredited),
    /// A transfer took what was held for it.
    #[factum(name = "bank.accounts.hold-captured.v1")]
    Captured(HoldCaptured),
    /// A transfer gave back what was held for it.
    #[factum(name = "bank.accounts.hold-released.v1")]
    Released(HoldReleased),
    /// An account was closed.
    #[factum(name = "bank.accounts.account-closed.v1")]
    Closed(AccountClosed),
}

/// An account was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOpened {
    /// Which account.
    pub account_id: String,
    /// Whose it is.
    pub holder: Personal<String>,
    /// Its currency.
    pub currency: Currency,
}

/// Money came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundsDeposited {
    /// Which account.
    pub account_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// The balance after it, in minor units.
    pub balance_minor: u64,
    /// What of it can be taken out, in minor units; all of it where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_minor: Option<u64>,
    /// The account's currency.
    pub currency: Currency,
}

/// Money went out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundsWithdrawn {
    /// Which account.
    pub account_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// The balance after it, in minor units.
    pub balance_minor: u64,
    /// What of it can be taken out, in minor units; all of it where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_minor: Option<u64>,
    /// The account's currency.
    pub currency: Currency,
}

/// Money was set aside for a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundsHeld {
    /// Which account.
    pub account_id: String,
    /// Which transfer.
    pub transfer_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// The balance after it, in minor units.
    pub balance_minor: u64,
    /// What of it can be taken out, in minor units.
    pub available_minor: u64,
    /// The account's currency.
    pub currency: Currency,
}

/// A transfer brought money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountCredited {
    /// Which account.
    pub account_id: String,
    /// Which transfer.
    pub transfer_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// The balance after it, in minor units.
    pub balance_minor: u64,
    /// What of it can be taken out, in minor units.
    pub available_minor: u64,
    /// The account's currency.
    pub currency: Currency,
}

/// A transfer took what was held for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldCaptured {
    /// Which account.
    pub account_id: String,
    /// Which transfer.
    pub transfer_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// The balance after it, in minor units.
    pub balance_minor: u64,
    /// What of it can be taken out, in minor units.
    pub available_minor: u64,
    /// The account's currency.
    pub currency: Currency,
}

/// A transfer gave back what was held for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReleased {
    /// Which account.
    pub account_id: String,
    /// Which transfer.
    pub transfer_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// The balance after it, in minor units.
    pub balance_minor: u64,
    /// What of it can be taken out, in minor units.
    pub available_minor: u64,
    /// The account's currency.
    pub currency: Currency,
}

/// An account was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClosed {
    /// Which account.
    pub account_id: String,
}
