//! One document an account: where it stands.

use factum::prelude::*;
use factum::{Personal, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{messages::AccountMessage, money::Currency};

/// Where an account stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountSummary {
    /// Which account.
    pub account_id: String,
    /// Whose it is.
    pub holder: Personal<String>,
    /// Open or closed.
    pub status: AccountStatus,
    /// What is in it, as a decimal.
    pub balance: String,
    /// What can be taken out of it, as a decimal.
    pub available: String,
    /// Its currency's code.
    pub currency: String,
    /// The account's version this stands for.
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

/// Folds messages into summaries.
#[derive(Default)]
pub struct AccountSummaries;

impl Projection for AccountSummaries {
    const NAME: &'static str = "account-summaries";
    const VERSION: u32 = 1;
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
                ACCOUNT_SUMMARIES.put(tx, &Key::from(opened.account_id.as_str()), &summary)
            }
            AccountMessage::Deposited(funds) => {
                change(tx, &funds.account_id, delivery, |summary| hold(summary, funds.currency, funds.balance_minor))
            }
            AccountMessage::Withdrawn(funds) => {
                change(tx, &funds.account_id, delivery, |summary| hold(summary, funds.currency, funds.balance_minor))
            }
            AccountMessage::Closed(closed) => {
                change(tx, &closed.account_id, delivery, |summary| summary.status = AccountStatus::Closed)
            }
        }
    }
}

fn hold(summary: &mut AccountSummary, currency: Currency, balance_minor: u64) {
    summary.balance = currency.decimal(balance_minor.into());
    summary.available.clone_from(&summary.balance);
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
