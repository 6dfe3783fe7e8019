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
    /// There is still money in it that is set aside for transfers.
    #[error("money in the account is held for transfers: wait until they have ended")]
    HoldsPending,
    /// Nothing is held for the transfer: it never was, or it is captured or released already.
    #[error("nothing is held for the transfer")]
    HoldNotFound,
    /// The transfer has a hold already, asked for by another command.
    #[error("something is held for the transfer already")]
    HoldAlreadyExists,
    /// Too many transfers have a hold at once.
    #[error("an account has holds for at most {} transfers at once", Self::HOLDS_MAX)]
    TooManyHolds,
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
    /// For how many transfers an account has holds at once: its state is read and kept whole.
    pub const HOLDS_MAX: usize = 1_000;
}

impl Rejection for AccountRejection {
    const CODES: &'static [RejectionCode] = &[
        RejectionCode::rule("insufficient-funds"),
        RejectionCode::rule("currency-mismatch"),
        RejectionCode::rule("account-closed"),
        RejectionCode::not_found("account-not-found"),
        RejectionCode::rule("account-already-exists"),
        RejectionCode::rule("account-not-empty"),
        RejectionCode::rule("holds-pending"),
        RejectionCode::not_found("hold-not-found"),
        RejectionCode::rule("hold-already-exists"),
        RejectionCode::rule("too-many-holds"),
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
            Self::HoldsPending => "holds-pending",
            Self::HoldNotFound => "hold-not-found",
            Self::HoldAlreadyExists => "hold-already-exists",
            Self::TooManyHolds => "too-many-holds",
            Self::BalanceTooHigh => "balance-too-high",
            Self::InvalidAmount(_) => "invalid-amount",
        }
    }

    fn kind(&self) -> RejectionKind {
        match self {
            Self::AccountNotFound | Self::HoldNotFound => RejectionKind::NotFound,
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
