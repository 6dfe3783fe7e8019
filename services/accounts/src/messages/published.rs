//! The messages on `bank.accounts.account.events`, and which event becomes which.

use factum::{Delivery, Message, MessageType, OutgoingMessage, Personal, Publication};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{AccountEvent, AccountRejection, Currency};

/// No account holds more minor units, and so none moves.
const MINOR_MAX: u64 = AccountRejection::BALANCE_MINOR_MAX;

/// An account was opened, with a balance of zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.account-opened.v1")]
pub struct AccountOpened {
    /// Which account.
    #[schemars(extend("format" = "uuid"))]
    pub account_id: String,
    /// Whose it is.
    pub holder: Personal<String>,
    /// Its currency, for ever.
    pub currency: Currency,
}

/// Money came into an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.funds-deposited.v1")]
pub struct FundsDeposited {
    /// Which account.
    #[schemars(extend("format" = "uuid"))]
    pub account_id: String,
    /// How much, in minor units.
    #[schemars(range(min = 1, max = MINOR_MAX))]
    pub amount_minor: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub balance_minor: u64,
    /// What of the balance can be taken out, in minor units. Messages from before there were holds do not say: then it is
    /// the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(max = MINOR_MAX))]
    pub available_minor: Option<u64>,
}

/// Money went out of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.funds-withdrawn.v1")]
pub struct FundsWithdrawn {
    /// Which account.
    #[schemars(extend("format" = "uuid"))]
    pub account_id: String,
    /// How much, in minor units.
    #[schemars(range(min = 1, max = MINOR_MAX))]
    pub amount_minor: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub balance_minor: u64,
    /// What of the balance can be taken out, in minor units. Messages from before there were holds do not say: then it is
    /// the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(max = MINOR_MAX))]
    pub available_minor: Option<u64>,
}

/// Money was set aside for a transfer: the balance is as before, less of it is available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.funds-held.v1")]
pub struct FundsHeld {
    /// Which account.
    #[schemars(extend("format" = "uuid"))]
    pub account_id: String,
    /// For which transfer.
    #[schemars(extend("format" = "uuid"))]
    pub transfer_id: String,
    /// How much, in minor units.
    #[schemars(range(min = 1, max = MINOR_MAX))]
    pub amount_minor: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub balance_minor: u64,
    /// What of the balance can be taken out, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub available_minor: u64,
}

/// A transfer brought money into an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.account-credited.v1")]
pub struct AccountCredited {
    /// Which account.
    #[schemars(extend("format" = "uuid"))]
    pub account_id: String,
    /// Which transfer.
    #[schemars(extend("format" = "uuid"))]
    pub transfer_id: String,
    /// How much, in minor units.
    #[schemars(range(min = 1, max = MINOR_MAX))]
    pub amount_minor: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub balance_minor: u64,
    /// What of the balance can be taken out, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub available_minor: u64,
}

/// A transfer took the money that was held for it: it has left the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.hold-captured.v1")]
pub struct HoldCaptured {
    /// Which account.
    #[schemars(extend("format" = "uuid"))]
    pub account_id: String,
    /// Which transfer.
    #[schemars(extend("format" = "uuid"))]
    pub transfer_id: String,
    /// How much, in minor units: all that was held for it.
    #[schemars(range(min = 1, max = MINOR_MAX))]
    pub amount_minor: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub balance_minor: u64,
    /// What of the balance can be taken out, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub available_minor: u64,
}

/// A transfer gave back the money that was held for it: it is available again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.hold-released.v1")]
pub struct HoldReleased {
    /// Which account.
    #[schemars(extend("format" = "uuid"))]
    pub account_id: String,
    /// Which transfer.
    #[schemars(extend("format" = "uuid"))]
    pub transfer_id: String,
    /// How much, in minor units: all that was held for it.
    #[schemars(range(min = 1, max = MINOR_MAX))]
    pub amount_minor: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub balance_minor: u64,
    /// What of the balance can be taken out, in minor units.
    #[schemars(range(max = MINOR_MAX))]
    pub available_minor: u64,
}

/// An account was closed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.account-closed.v1")]
pub struct AccountClosed {
    /// Which account.
    #[schemars(extend("format" = "uuid"))]
    pub account_id: String,
}

/// Every fact about an account is public.
pub struct AccountPublication;

impl Publication for AccountPublication {
    const TOPIC: &'static str = "bank.accounts.account.events";
    const MESSAGES: &'static [MessageType] = &[
        MessageType::of::<AccountOpened>(),
        MessageType::of::<FundsDeposited>(),
        MessageType::of::<FundsWithdrawn>(),
        MessageType::of::<FundsHeld>(),
        MessageType::of::<AccountCredited>(),
        MessageType::of::<HoldCaptured>(),
        MessageType::of::<HoldReleased>(),
        MessageType::of::<AccountClosed>(),
    ];
    type Event = AccountEvent;

    fn translate(event: &AccountEvent, delivery: &Delivery) -> Option<OutgoingMessage> {
        let account_id = delivery.aggregate_id().to_owned();
        Some(match event {
            AccountEvent::AccountOpened(opened) => {
                Self::outgoing(&AccountOpened { account_id, holder: opened.holder.clone(), currency: opened.currency })
            }
            AccountEvent::FundsDeposited(deposited) => Self::outgoing(&FundsDeposited {
                account_id,
                amount_minor: deposited.amount,
                currency: deposited.currency,
                balance_minor: deposited.balance,
                available_minor: Some(available(deposited.balance, deposited.held)),
            }),
            AccountEvent::FundsWithdrawn(withdrawn) => Self::outgoing(&FundsWithdrawn {
                account_id,
                amount_minor: withdrawn.amount,
                currency: withdrawn.currency,
                balance_minor: withdrawn.balance,
                available_minor: Some(available(withdrawn.balance, withdrawn.held)),
            }),
            AccountEvent::FundsHeld(hold) => Self::outgoing(&FundsHeld {
                account_id,
                transfer_id: hold.transfer_id.to_string(),
                amount_minor: hold.amount,
                currency: hold.currency,
                balance_minor: hold.balance,
                available_minor: available(hold.balance, hold.held),
            }),
            AccountEvent::AccountCredited(credit) => Self::outgoing(&AccountCredited {
                account_id,
                transfer_id: credit.transfer_id.to_string(),
                amount_minor: credit.amount,
                currency: credit.currency,
                balance_minor: credit.balance,
                available_minor: available(credit.balance, credit.held),
            }),
            AccountEvent::HoldCaptured(hold) => Self::outgoing(&HoldCaptured {
                account_id,
                transfer_id: hold.transfer_id.to_string(),
                amount_minor: hold.amount,
                currency: hold.currency,
                balance_minor: hold.balance,
                available_minor: available(hold.balance, hold.held),
            }),
            AccountEvent::HoldReleased(hold) => Self::outgoing(&HoldReleased {
                account_id,
                transfer_id: hold.transfer_id.to_string(),
                amount_minor: hold.amount,
                currency: hold.currency,
                balance_minor: hold.balance,
                available_minor: available(hold.balance, hold.held),
            }),
            AccountEvent::AccountClosed(_) => Self::outgoing(&AccountClosed { account_id }),
        })
    }
}

/// What of a balance can be taken out. No event holds more than there is.
fn available(balance: u64, held: u64) -> u64 {
    balance.saturating_sub(held)
}
