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
            }),
            AccountEvent::FundsWithdrawn(withdrawn) => Self::outgoing(&FundsWithdrawn {
                account_id,
                amount_minor: withdrawn.amount,
                currency: withdrawn.currency,
                balance_minor: withdrawn.balance,
            }),
            AccountEvent::AccountClosed(_) => Self::outgoing(&AccountClosed { account_id }),
        })
    }
}
