//! One document an account: where it stands. And whose accounts are which.

use factum::prelude::*;
use factum::{Personal, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    messages::{
        AccountCredited, AccountMessage, FundsDeposited, FundsHeld, FundsWithdrawn, HoldCaptured, HoldReleased,
    },
    money::{Currency, DECIMAL},
};

/// Where an account stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountSummary {
    /// Which account.
    #[schemars(extend("format" = "uuid"))]
    pub account_id: String,
    /// Whose it is.
    #[schemars(example = "Ada Lovelace")]
    pub holder: Personal<String>,
    /// Open or closed.
    pub status: AccountStatus,
    /// What is in it, as a decimal.
    #[schemars(regex(pattern = DECIMAL), example = "99.50")]
    pub balance: String,
    /// What can be taken out of it, as a decimal: what is in it and not held for a transfer.
    #[schemars(regex(pattern = DECIMAL), example = "99.50")]
    pub available: String,
    /// Its currency's code.
    #[schemars(regex(pattern = "^[A-Z]{3}$"), example = &"EUR")]
    pub currency: String,
    /// The account's version this stands for.
    #[schemars(range(min = 1), example = 3)]
    pub version: u64,
    /// When that version came about.
    pub updated_at: Timestamp,
}

/// Whether an account takes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountStatus {
    /// It does.
    Open,
    /// It never will again.
    Closed,
}

/// Summaries by account.
pub const ACCOUNT_SUMMARIES: Table<AccountSummary> = Table::of::<AccountSummaries>("summaries");

/// Ids of accounts by holder and id: an index on the summaries. Forgotten holders are not in it.
pub const ACCOUNTS_BY_HOLDER: Table<String> = Table::of::<AccountSummaries>("by_holder");

/// The range of a holder's accounts.
pub fn accounts_of(holder: &str) -> KeyRange {
    KeyRange::prefix(&holder_key(holder))
}

/// Keys end up in cursors, which end up in URLs: a name has no place there, so its hash stands for it.
fn holder_key(holder: &str) -> Key {
    let hash = u128::from_be_bytes(*blake3::hash(holder.as_bytes()).as_bytes().first_chunk().expect("it has 32 bytes"));
    Key::new().number((hash >> 64) as u64).number(hash as u64)
}

/// Folds messages into summaries and their index.
#[derive(Default)]
pub struct AccountSummaries;

impl Projection for AccountSummaries {
    const NAME: &'static str = "account-summaries";
    const VERSION: u32 = 3;
    type Event = AccountMessage;

    fn project(
        &self,
        message: &AccountMessage,
        delivery: &Delivery,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), ReadError> {
        match message {
            AccountMessage::Opened(opened) => {
                let nothing = opened.currency.decimal(0);
                let summary = AccountSummary {
                    account_id: opened.account_id.clone(),
                    holder: opened.holder.clone(),
                    status: AccountStatus::Open,
                    balance: nothing.clone(),
                    available: nothing,
                    currency: opened.currency.code().to_owned(),
                    version: delivery.version.get(),
                    updated_at: delivery.recorded_at,
                };
                if let Some(holder) = opened.holder.get() {
                    ACCOUNTS_BY_HOLDER.put(tx, &holder_key(holder).text(&opened.account_id), &opened.account_id)?;
                }
                ACCOUNT_SUMMARIES.put(tx, &Key::from(opened.account_id.as_str()), &summary)
            }
            AccountMessage::Deposited(FundsDeposited {
                account_id, currency, balance_minor, available_minor, ..
            })
            | AccountMessage::Withdrawn(FundsWithdrawn {
                account_id, currency, balance_minor, available_minor, ..
            }) => {
                let available_minor = available_minor.unwrap_or(*balance_minor);
                change(tx, account_id, delivery, |summary| stand(summary, *currency, *balance_minor, available_minor))
            }
            AccountMessage::Held(FundsHeld { account_id, currency, balance_minor, available_minor, .. })
            | AccountMessage::Credited(AccountCredited {
                account_id, currency, balance_minor, available_minor, ..
            })
            | AccountMessage::Captured(HoldCaptured { account_id, currency, balance_minor, available_minor, .. })
            | AccountMessage::Released(HoldReleased { account_id, currency, balance_minor, available_minor, .. }) => {
                change(tx, account_id, delivery, |summary| stand(summary, *currency, *balance_minor, *available_minor))
            }
            AccountMessage::Closed(closed) => {
                change(tx, &closed.account_id, delivery, |summary| summary.status = AccountStatus::Closed)
            }
        }
    }
}

fn stand(summary: &mut AccountSummary, currency: Currency, balance_minor: u64, available_minor: u64) {
    summary.balance = currency.decimal(balance_minor.into());
    summary.available = currency.decimal(available_minor.into());
}

fn change(
    tx: &mut dyn ReadTransaction,
    account_id: &str,
    delivery: &Delivery,
    change: impl FnOnce(&mut AccountSummary),
) -> Result<(), ReadError> {
    let key = Key::from(account_id);
    let mut summary = ACCOUNT_SUMMARIES
        .get(tx, &key)?
        .ok_or_else(|| ReadError::Broken(format!("{} comes before its opening", delivery.stream)))?;
    change(&mut summary);
    summary.version = delivery.version.get();
    summary.updated_at = delivery.recorded_at;
    ACCOUNT_SUMMARIES.put(tx, &key, &summary)
}
