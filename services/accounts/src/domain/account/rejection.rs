//! How an account says no.

use factum::{Rejection, RejectionCode, RejectionKind};

use crate::domain::money::{AmountError, Currency, decimal};

/// How an account says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountRejection {
    /// More was asked for than is available.
    #[error("only {} {currency} are available", decimal(*available, *currency))]
    InsufficientFunds {
        /// What is available, in minor units.
        available: u64,
        /// The account's currency.
        currency: Currency,
    },
    /// The account is in another currency.
    #[error("the account is in {account}, not in {given}")]
    CurrencyMismatch {
        /// The account's currency.
        account: Currency,
        /// The command's.
        given: Currency,
    },
    /// The account is closed for good.
    #[error("the account is closed")]
    AccountClosed,
    /// There is no such account.
    #[error("there is no such account")]
    AccountNotFound,
    /// The account was opened before.
    #[error("the account exists already")]
    AccountAlreadyExists,
    /// There is still money in it.
    #[error("the account is not empty: withdraw what is in it first")]
    AccountNotEmpty,
    /// No account holds that much.
    #[error("an account holds at most {} minor units", Self::BALANCE_MINOR_MAX)]
    BalanceTooHigh,
    /// The amount does not fit the currency. The dispatcher refuses it before, as an invalid field.
    #[error("the amount {0}")]
    InvalidAmount(#[from] AmountError),
}

impl AccountRejection {
    /// The most an account may hold, in minor units: exact in every JSON reader, the integers up to 2^53 − 1.
    pub const BALANCE_MINOR_MAX: u64 = (1 << 53) - 1;
}

impl Rejection for AccountRejection {
    const CODES: &'static [RejectionCode] = &[
        RejectionCode::rule("insufficient-funds"),
        RejectionCode::rule("currency-mismatch"),
        RejectionCode::rule("account-closed"),
        RejectionCode::not_found("account-not-found"),
        RejectionCode::rule("account-already-exists"),
        RejectionCode::rule("account-not-empty"),
        RejectionCode::rule("balance-too-high"),
    ];

    fn code(&self) -> &'static str {
        match self {
            Self::InsufficientFunds { .. } => "insufficient-funds",
            Self::CurrencyMismatch { .. } => "currency-mismatch",
            Self::AccountClosed => "account-closed",
            Self::AccountNotFound => "account-not-found",
            Self::AccountAlreadyExists => "account-already-exists",
            Self::AccountNotEmpty => "account-not-empty",
            Self::BalanceTooHigh => "balance-too-high",
            Self::InvalidAmount(_) => "invalid-amount",
        }
    }

    fn kind(&self) -> RejectionKind {
        match self {
            Self::AccountNotFound => RejectionKind::NotFound,
            _ => RejectionKind::Rule,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_lists_every_code_and_no_other() {
        let page = include_str!("../../../../../docs/guide/errors.md");
        let table = page.split("## The bank's rejections").nth(1).and_then(|rest| rest.split("\n## ").next());
        let rows = table.unwrap_or_default().lines().filter(|line| line.starts_with("| `"));
        let listed: Vec<(&str, &str)> = rows
            .filter_map(|row| {
                let mut cells = row.split('|').map(str::trim).skip(1);
                Some((cells.next()?.trim_matches('`'), cells.next()?))
            })
            .collect();
        let status = |code: &RejectionCode| if code.kind == RejectionKind::NotFound { "404" } else { "422" };
        let codes: Vec<_> = AccountRejection::CODES.iter().map(|code| (code.code, status(code))).collect();
        assert_eq!(listed, codes);
    }
}
