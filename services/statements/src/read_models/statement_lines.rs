//! One document a line of a statement: what happened to an account, in order.
//!
//! Every version of an account has its line, also where the balance stays as it was: so a reader sees that none is
//! missing, and why less is available than there is.

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
    /// Which transfer did it; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    pub transfer_id: Option<String>,
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
    /// Money was set aside for a transfer: it is still in the balance.
    Held,
    /// A transfer brought money.
    Credited,
    /// A transfer took what was held for it.
    Captured,
    /// A transfer gave back what was held for it: it never left the balance.
    Released,
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
    const VERSION: u32 = 2;
    type Event = AccountMessage;

    fn project(
        &self,
        message: &AccountMessage,
        delivery: &Delivery,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), ReadError> {
        let line = |kind, amount, balance, transfer_id: Option<&String>| StatementLine {
            version: delivery.version.get(),
            at: delivery.recorded_at,
            kind,
            amount,
            balance,
            transfer_id: transfer_id.cloned(),
        };
        let (account_id, line) = match message {
            AccountMessage::Opened(opened) => {
                (&opened.account_id, line(LineKind::Opened, None, opened.currency.decimal(0), None))
            }
            AccountMessage::Deposited(funds) => {
                let (amount, balance) = moved(funds.currency, funds.amount_minor.into(), funds.balance_minor);
                (&funds.account_id, line(LineKind::Deposited, amount, balance, None))
            }
            AccountMessage::Withdrawn(funds) => {
                let (amount, balance) = moved(funds.currency, -i128::from(funds.amount_minor), funds.balance_minor);
                (&funds.account_id, line(LineKind::Withdrawn, amount, balance, None))
            }
            AccountMessage::Held(hold) => {
                let balance = hold.currency.decimal(hold.balance_minor.into());
                (&hold.account_id, line(LineKind::Held, None, balance, Some(&hold.transfer_id)))
            }
            AccountMessage::Credited(credit) => {
                let (amount, balance) = moved(credit.currency, credit.amount_minor.into(), credit.balance_minor);
                (&credit.account_id, line(LineKind::Credited, amount, balance, Some(&credit.transfer_id)))
            }
            AccountMessage::Captured(hold) => {
                let (amount, balance) = moved(hold.currency, -i128::from(hold.amount_minor), hold.balance_minor);
                (&hold.account_id, line(LineKind::Captured, amount, balance, Some(&hold.transfer_id)))
            }
            AccountMessage::Released(hold) => {
                let balance = hold.currency.decimal(hold.balance_minor.into());
                (&hold.account_id, line(LineKind::Released, None, balance, Some(&hold.transfer_id)))
            }
            AccountMessage::Closed(closed) => {
                let before = last_balance(tx, &closed.account_id, delivery)?;
                (&closed.account_id, line(LineKind::Closed, None, before, None))
            }
        };
        let key = Key::from(account_id.as_str()).number(delivery.version.get());
        STATEMENT_LINES.put(tx, &key, &line)
    }
}

fn moved(currency: Currency, amount_minor: i128, balance_minor: u64) -> (Option<String>, String) {
    (Some(currency.decimal(amount_minor)), currency.decimal(balance_minor.into()))
}

/// The balance on the line before this delivery's: closing an account names no amount.
fn last_balance(tx: &mut dyn ReadTransaction, account_id: &str, delivery: &Delivery) -> Result<String, ReadError> {
    let before = Key::from(account_id).number(delivery.version.get() - 1);
    let line = STATEMENT_LINES.get(tx, &before)?;
    line.map(|line| line.balance)
        .ok_or_else(|| ReadError::Broken(format!("{} is closed but was never opened", delivery.stream)))
}
