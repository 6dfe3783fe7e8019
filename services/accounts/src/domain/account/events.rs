//! What has happened to an account.

use factum::{Event, Personal};
use serde::{Deserialize, Serialize};

use super::TransferId;
use crate::domain::money::Currency;

/// A fact about an account.
#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub enum AccountEvent {
    /// It was opened.
    #[factum(name = "account.opened")]
    AccountOpened(AccountOpened),
    /// Money came in.
    #[factum(name = "account.funds-deposited")]
    FundsDeposited(FundsDeposited),
    /// Money went out.
    #[factum(name = "account.funds-withdrawn")]
    FundsWithdrawn(FundsWithdrawn),
    /// Money was set aside for a transfer.
    #[factum(name = "account.funds-held")]
    FundsHeld(FundsHeld),
    /// A transfer brought money.
    #[factum(name = "account.credited")]
    AccountCredited(AccountCredited),
    /// A transfer took the money that was set aside for it.
    #[factum(name = "account.hold-captured")]
    HoldCaptured(HoldCaptured),
    /// A transfer gave back the money that was set aside for it.
    #[factum(name = "account.hold-released")]
    HoldReleased(HoldReleased),
    /// It was closed for good.
    #[factum(name = "account.closed")]
    AccountClosed(AccountClosed),
}

/// An account was opened, with a balance of zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOpened {
    /// Whose it is.
    pub holder: Personal<String>,
    /// Its currency, for ever.
    pub currency: Currency,
}

/// Money came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundsDeposited {
    /// How much, in minor units.
    pub amount: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    pub balance: u64,
    /// What of it is held for transfers, in minor units: nothing in events from before there were holds.
    #[serde(default)]
    pub held: u64,
}

/// Money went out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundsWithdrawn {
    /// How much, in minor units.
    pub amount: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    pub balance: u64,
    /// What of it is held for transfers, in minor units: nothing in events from before there were holds.
    #[serde(default)]
    pub held: u64,
}

/// Money was set aside for a transfer: it is still there, but nobody else can have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundsHeld {
    /// By which transfer.
    pub transfer_id: TransferId,
    /// How much, in minor units.
    pub amount: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    pub balance: u64,
    /// What of it is held for transfers, in minor units.
    pub held: u64,
}

/// A transfer brought money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountCredited {
    /// By which transfer.
    pub transfer_id: TransferId,
    /// How much, in minor units.
    pub amount: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    pub balance: u64,
    /// What of it is held for transfers, in minor units.
    pub held: u64,
}

/// A transfer took the money that was set aside for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldCaptured {
    /// By which transfer.
    pub transfer_id: TransferId,
    /// How much, in minor units: all that was held for it.
    pub amount: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    pub balance: u64,
    /// What of it is held for transfers, in minor units.
    pub held: u64,
}

/// A transfer gave back the money that was set aside for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReleased {
    /// By which transfer.
    pub transfer_id: TransferId,
    /// How much, in minor units: all that was held for it.
    pub amount: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    pub balance: u64,
    /// What of it is held for transfers, in minor units.
    pub held: u64,
}

/// An account was closed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClosed {}
