//! One document a line of a statement: what happened to an account, in order.

use factum::Timestamp;
use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    messages::AccountMessage,
    money::{Currency, DECIMAL},
};

/// One line of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatementLine {
    /// The account's version the line stands for.
    #[schemars(range(min = 1), example = 3)]
    pub version: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: LineKind,
    /// How the balance changed, as a signed decimal; absent where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DECIMAL), example = "-25.50")]
    pub amount: Option<String>,
    /// The balance after it, as a decimal.
    #[schemars(regex(pattern = DECIMAL), example = "99.50")]
    pub balance: String,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LineKind {
    /// The account was opened.
    Opened,
    /// Money came in.
    Deposited,
    /// Money went out.
    Withdrawn,
    /// The account was closed.
    Closed,
}

/// Lines by account and version.
pub const STATEMENT_LINES: Table<StatementLine> = Table::of::<StatementLines>("lines");

/// The range of an account's lines.
pub fn lines_of(account_id: &str) -> KeyRange {
    KeyRange::prefix(&Key::from(account_id))
}

/// Folds messages into lines.
#[derive(Default)]
pub struct StatementLines;

impl Projection for StatementLines {
    const NAME: &'static str = "statement-lines";
    const VERSION: u32 = 1;
    type Event = AccountMessage;

    fn project(
        &self,
        message: &AccountMessage,
        delivery: &Delivery,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), ReadError> {
        let line = |kind, amount, balance| StatementLine {
            version: delivery.version.get(),
            at: delivery.recorded_at,
            kind,
            amount,
            balance,
        };
        let (account_id, line) = match message {
            AccountMessage::Opened(opened) => {
                (&opened.account_id, line(LineKind::Opened, None, opened.currency.decimal(0)))
            }
            AccountMessage::Deposited(funds) => {
                let (amount, balance) = moved(funds.currency, funds.amount_minor.into(), funds.balance_minor);
                (&funds.account_id, line(LineKind::Deposited, Some(amount), balance))
            }
            AccountMessage::Withdrawn(funds) => {
                let (amount, balance) = moved(funds.currency, -i128::from(funds.amount_minor), funds.balance_minor);
                (&funds.account_id, line(LineKind::Withdrawn, Some(amount), balance))
            }
            AccountMessage::Closed(closed) => {
                let before = last_balance(tx, &closed.account_id, delivery)?;
                (&closed.account_id, line(LineKind::Closed, None, before))
            }
        };
        let key = Key::from(account_id.as_str()).number(delivery.version.get());
        STATEMENT_LINES.put(tx, &key, &line)
    }
}

fn moved(currency: Currency, amount_minor: i128, balance_minor: u64) -> (String, String) {
    (currency.decimal(amount_minor), currency.decimal(balance_minor.into()))
}

/// The balance on the line before this delivery's: closing an account names no amount.
fn last_balance(tx: &mut dyn ReadTransaction, account_id: &str, delivery: &Delivery) -> Result<String, ReadError> {
    let before = Key::from(account_id).number(delivery.version.get() - 1);
    let line = STATEMENT_LINES.get(tx, &before)?;
    line.map(|line| line.balance)
        .ok_or_else(|| ReadError::Broken(format!("{} is closed but was never opened", delivery.stream)))
}
