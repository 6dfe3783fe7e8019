//! The messages on `bank.accounts.account.events`, and which event becomes which.

use factum::{Delivery, Message, OutgoingMessage, Personal, Publication};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{AccountEvent, Currency};

/// An account was opened, with a balance of zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.account-opened.v1")]
pub struct AccountOpened {
    /// Which account.
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
    pub account_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    pub balance_minor: u64,
}

/// Money went out of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.funds-withdrawn.v1")]
pub struct FundsWithdrawn {
    /// Which account.
    pub account_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// The account's currency.
    pub currency: Currency,
    /// The balance after it, in minor units.
    pub balance_minor: u64,
}

/// An account was closed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.account-closed.v1")]
pub struct AccountClosed {
    /// Which account.
    pub account_id: String,
}

/// Every fact about an account is public.
pub struct AccountPublication;

impl Publication for AccountPublication {
    const TOPIC: &'static str = "bank.accounts.account.events";
    type Event = AccountEvent;

    fn translate(event: &AccountEvent, delivery: &Delivery) -> Option<OutgoingMessage> {
        let account_id = delivery.aggregate_id().to_owned();
        Some(match event {
            AccountEvent::AccountOpened(opened) => OutgoingMessage::of(&AccountOpened {
                account_id,
                holder: opened.holder.clone(),
                currency: opened.currency,
            }),
            AccountEvent::FundsDeposited(deposited) => OutgoingMessage::of(&FundsDeposited {
                account_id,
                amount_minor: deposited.amount,
                currency: deposited.currency,
                balance_minor: deposited.balance,
            }),
            AccountEvent::FundsWithdrawn(withdrawn) => OutgoingMessage::of(&FundsWithdrawn {
                account_id,
                amount_minor: withdrawn.amount,
                currency: withdrawn.currency,
                balance_minor: withdrawn.balance,
            }),
            AccountEvent::AccountClosed(_) => OutgoingMessage::of(&AccountClosed { account_id }),
        })
    }
}
