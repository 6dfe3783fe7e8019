//! The account: state, rules, and how it refuses.

mod commands;
mod events;
mod funds;
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

pub use commands::{
    CaptureHold, CloseAccount, CreditAccount, DepositFunds, HoldFunds, OpenAccount, ReleaseHold, WithdrawFunds,
};
pub use events::{
    AccountClosed, AccountCredited, AccountEvent, AccountOpened, FundsDeposited, FundsHeld, FundsWithdrawn,
    HoldCaptured, HoldReleased,
};
pub use funds::Funds;
pub use rejection::AccountRejection;

use self::funds::{HoldChange, Totals};
use super::money::Money;

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

/// Which transfer, in the words of the service that runs it: a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("examples" = ["b8d0c9a4-0000-4000-8000-000000000001"]))]
pub struct TransferId(#[serde(deserialize_with = "hyphenated")] Uuid);

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An account: not opened yet, open with what is in it, or closed for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Account {
    /// Nothing has happened to it.
    #[default]
    Unopened,
    /// Takes and gives money in one currency.
    Open(Funds),
    /// Takes no command any more.
    Closed,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = AccountId;
    type Event = AccountEvent;
    type Rejection = AccountRejection;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::AccountOpened(opened) => *self = Self::Open(Funds::none(opened.currency)),
            AccountEvent::FundsDeposited(FundsDeposited { balance, held, .. })
            | AccountEvent::FundsWithdrawn(FundsWithdrawn { balance, held, .. })
            | AccountEvent::AccountCredited(AccountCredited { balance, held, .. }) => {
                self.moved(*balance, *held, HoldChange::None);
            }
            AccountEvent::FundsHeld(hold) => {
                self.moved(hold.balance, hold.held, HoldChange::Placed(hold.transfer_id, hold.amount));
            }
            AccountEvent::HoldCaptured(hold) => {
                self.moved(hold.balance, hold.held, HoldChange::Gone(hold.transfer_id));
            }
            AccountEvent::HoldReleased(hold) => {
                self.moved(hold.balance, hold.held, HoldChange::Gone(hold.transfer_id));
            }
            AccountEvent::AccountClosed(AccountClosed {}) => *self = Self::Closed,
        }
    }
}

impl Account {
    /// Money moves, or is held, in an open account; elsewhere none is.
    fn moved(&mut self, balance: u64, held: u64, change: HoldChange) {
        if let Self::Open(funds) = self {
            funds.moved(Totals { balance, held }, change);
        }
    }

    /// What is in it, when the account is open.
    fn funds(&self) -> Result<&Funds, AccountRejection> {
        match self {
            Self::Unopened => Err(AccountRejection::AccountNotFound),
            Self::Closed => Err(AccountRejection::AccountClosed),
            Self::Open(funds) => Ok(funds),
        }
    }

    /// What is in it, when the account is open and in this currency.
    fn funds_in(&self, money: Money) -> Result<&Funds, AccountRejection> {
        let (funds, given) = (self.funds()?, money.currency());
        if funds.currency() == given {
            Ok(funds)
        } else {
            Err(AccountRejection::CurrencyMismatch { account: funds.currency(), given })
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
            Self::Open(_) | Self::Closed => Err(AccountRejection::AccountAlreadyExists),
        }
    }
}

impl Handle<DepositFunds> for Account {
    fn handle(&self, command: &DepositFunds, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let money = command.money()?;
        let (amount, currency) = (money.minor(), money.currency());
        let Totals { balance, held } = self.funds_in(money)?.grown_by(amount)?;
        Ok(AccountEvent::from(FundsDeposited { amount, currency, balance, held }).into())
    }
}

impl Handle<WithdrawFunds> for Account {
    fn handle(&self, command: &WithdrawFunds, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let money = command.money()?;
        let (amount, currency) = (money.minor(), money.currency());
        let Totals { balance, held } = self.funds_in(money)?.less(amount)?;
        Ok(AccountEvent::from(FundsWithdrawn { amount, currency, balance, held }).into())
    }
}

impl Handle<HoldFunds> for Account {
    fn handle(&self, command: &HoldFunds, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let (money, transfer_id) = (command.money(), command.transfer_id);
        let (amount, currency) = (money.minor(), money.currency());
        let Totals { balance, held } = self.funds_in(money)?.holding(transfer_id, amount)?;
        Ok(AccountEvent::from(FundsHeld { transfer_id, amount, currency, balance, held }).into())
    }
}

impl Handle<CreditAccount> for Account {
    fn handle(&self, command: &CreditAccount, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let (money, transfer_id) = (command.money(), command.transfer_id);
        let (amount, currency) = (money.minor(), money.currency());
        let Totals { balance, held } = self.funds_in(money)?.grown_by(amount)?;
        Ok(AccountEvent::from(AccountCredited { transfer_id, amount, currency, balance, held }).into())
    }
}

impl Handle<CaptureHold> for Account {
    fn handle(&self, command: &CaptureHold, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let (funds, transfer_id) = (self.funds()?, command.transfer_id);
        let (amount, Totals { balance, held }) = funds.captured(transfer_id)?;
        let currency = funds.currency();
        Ok(AccountEvent::from(HoldCaptured { transfer_id, amount, currency, balance, held }).into())
    }
}

impl Handle<ReleaseHold> for Account {
    fn handle(&self, command: &ReleaseHold, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let (funds, transfer_id) = (self.funds()?, command.transfer_id);
        let (amount, Totals { balance, held }) = funds.released(transfer_id)?;
        let currency = funds.currency();
        Ok(AccountEvent::from(HoldReleased { transfer_id, amount, currency, balance, held }).into())
    }
}

impl Handle<CloseAccount> for Account {
    fn handle(&self, _: &CloseAccount, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let funds = self.funds()?;
        // What is held is also there: asked the other way round, nobody would hear of the holds. And because nothing is
        // closed that has holds, whoever has one can capture or release it.
        if funds.has_holds() {
            return Err(AccountRejection::HoldsPending);
        }
        if funds.balance() > 0 {
            return Err(AccountRejection::AccountNotEmpty);
        }
        Ok(AccountEvent::from(AccountClosed {}).into())
    }
}
