//! What has happened to an account.

use factum::{Event, Personal};
use serde::{Deserialize, Serialize};

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
}

/// An account was closed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClosed {}
