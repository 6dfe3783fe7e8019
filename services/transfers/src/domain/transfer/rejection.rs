//! How a transfer is refused at once. What the accounts say comes later, and is an event.

use factum::{Rejection, RejectionCode};

use crate::domain::money::AmountError;

/// How a transfer is refused at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferRejection {
    /// Both accounts are the same.
    #[error("a transfer goes from one account to another")]
    TransferToItself,
    /// It was asked for before.
    #[error("the transfer exists already")]
    TransferAlreadyExists,
    /// No account holds that much.
    #[error("a transfer moves at most {} minor units", Self::AMOUNT_MINOR_MAX)]
    AmountTooHigh,
    /// The amount does not fit the currency. The dispatcher refuses it before, as an invalid field.
    #[error("the amount {0}")]
    InvalidAmount(#[from] AmountError),
}

impl TransferRejection {
    /// The most that is moved, in minor units: exact in every JSON reader, the integers up to 2^53 − 1.
    pub const AMOUNT_MINOR_MAX: u64 = (1 << 53) - 1;
}

impl Rejection for TransferRejection {
    const CODES: &'static [RejectionCode] = &[
        RejectionCode::rule("transfer-to-itself"),
        RejectionCode::rule("transfer-already-exists"),
        RejectionCode::rule("amount-too-high"),
    ];

    fn code(&self) -> &'static str {
        match self {
            Self::TransferToItself => "transfer-to-itself",
            Self::TransferAlreadyExists => "transfer-already-exists",
            Self::AmountTooHigh => "amount-too-high",
            Self::InvalidAmount(_) => "invalid-amount",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_lists_every_code_and_no_other() {
        let page = include_str!("../../../../../docs/guide/errors.md");
        let table = page.split("## What a transfer is refused with").nth(1).and_then(|rest| rest.split("\n## ").next());
        let rows = table.unwrap_or_default().lines().filter(|line| line.starts_with("| `"));
        let listed: Vec<&str> =
            rows.filter_map(|row| row.split('|').nth(1)).map(|cell| cell.trim().trim_matches('`')).collect();
        let codes: Vec<_> = TransferRejection::CODES.iter().map(|code| code.code).collect();
        assert_eq!(listed, codes);
    }
}
