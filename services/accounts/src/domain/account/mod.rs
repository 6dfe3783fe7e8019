//! The account: state, rules, and how it refuses.

mod commands;
mod events;
mod rejection;

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use factum::{
    Aggregate, AggregateId, Context, Events, Handle,
    input::{InvalidUuid, hyphenated, hyphenated_uuid},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use commands::{CloseAccount, DepositFunds, OpenAccount, WithdrawFunds};
pub use events::{AccountClosed, AccountEvent, AccountOpened, FundsDeposited, FundsWithdrawn};
pub use rejection::AccountRejection;

use super::money::{Currency, Money};

/// Which account: a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("examples" = ["6f1a7c1e-0000-4000-8000-000000000001"]))]
pub struct AccountId(#[serde(deserialize_with = "hyphenated")] Uuid);

impl AggregateId for AccountId {
    fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AccountId {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        hyphenated_uuid(text).map(Self)
    }
}

/// An account: not opened yet, open with a balance, or closed for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Account {
    /// Nothing has happened to it.
    #[default]
    Unopened,
    /// Takes and gives money in one currency.
    Open {
        /// The currency, for ever.
        currency: Currency,
        /// In minor units.
        balance: u64,
    },
    /// Takes no command any more.
    Closed,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = AccountId;
    type Event = AccountEvent;
    type Rejection = AccountRejection;

    fn apply(&mut self, event: &AccountEvent) {
        *self = match event {
            AccountEvent::AccountOpened(opened) => Self::Open { currency: opened.currency, balance: 0 },
            AccountEvent::FundsDeposited(deposited) => {
                Self::Open { currency: deposited.currency, balance: deposited.balance }
            }
            AccountEvent::FundsWithdrawn(withdrawn) => {
                Self::Open { currency: withdrawn.currency, balance: withdrawn.balance }
            }
            AccountEvent::AccountClosed(AccountClosed {}) => Self::Closed,
        };
    }
}

impl Account {
    /// The balance, when the account is open and in this currency.
    fn balance_for(&self, money: Money) -> Result<u64, AccountRejection> {
        match self {
            Self::Unopened => Err(AccountRejection::AccountNotFound),
            Self::Closed => Err(AccountRejection::AccountClosed),
            Self::Open { currency, .. } if *currency != money.currency() => {
                Err(AccountRejection::CurrencyMismatch { account: *currency, given: money.currency() })
            }
            Self::Open { balance, .. } => Ok(*balance),
        }
    }
}

impl Handle<OpenAccount> for Account {
    fn handle(&self, command: &OpenAccount, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        match self {
            Self::Unopened => {
                Ok(AccountEvent::from(AccountOpened { holder: command.holder.clone(), currency: command.currency })
                    .into())
            }
            Self::Open { .. } | Self::Closed => Err(AccountRejection::AccountAlreadyExists),
        }
    }
}

impl Handle<DepositFunds> for Account {
    fn handle(&self, command: &DepositFunds, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let money = command.money()?;
        let balance = self.balance_for(money)?;
        let balance = balance.checked_add(money.minor()).ok_or(AccountRejection::BalanceTooHigh)?;
        if balance > AccountRejection::BALANCE_MINOR_MAX {
            return Err(AccountRejection::BalanceTooHigh);
        }
        Ok(AccountEvent::from(FundsDeposited { amount: money.minor(), currency: money.currency(), balance }).into())
    }
}

impl Handle<WithdrawFunds> for Account {
    fn handle(&self, command: &WithdrawFunds, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let money = command.money()?;
        let available = self.balance_for(money)?;
        let short = AccountRejection::InsufficientFunds { available, currency: money.currency() };
        let balance = available.checked_sub(money.minor()).ok_or(short)?;
        Ok(AccountEvent::from(FundsWithdrawn { amount: money.minor(), currency: money.currency(), balance }).into())
    }
}

impl Handle<CloseAccount> for Account {
    fn handle(&self, _: &CloseAccount, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        match self {
            Self::Unopened => Err(AccountRejection::AccountNotFound),
            Self::Closed => Err(AccountRejection::AccountClosed),
            Self::Open { balance: 1.., .. } => Err(AccountRejection::AccountNotEmpty),
            Self::Open { balance: 0, .. } => Ok(AccountEvent::from(AccountClosed {}).into()),
        }
    }
}
