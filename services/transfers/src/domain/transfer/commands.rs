//! What can be asked of a transfer.

use factum::{Command, InvalidField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccountId, Transfer, TransferId};
use crate::domain::money::{Amount, AmountError, Currency, Money, amount_fits_currency};

/// Asks for money to be moved from one account to another. Accepted is not done: the transfer may be rejected yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "request-transfer", aggregate = Transfer, id = transfer_id, validate = RequestTransfer::check)]
#[schemars(transform = amount_fits_currency)]
pub struct RequestTransfer {
    /// Which transfer; left out, one is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_id: Option<TransferId>,
    /// Which account gives.
    pub from: AccountId,
    /// Which account takes; another one.
    #[schemars(extend("examples" = ["6f1a7c1e-0000-4000-8000-000000000002"]))]
    pub to: AccountId,
    /// How much; at most what is available in the account that gives.
    pub amount: Amount,
    /// In which currency: that of both accounts.
    pub currency: Currency,
}

impl RequestTransfer {
    /// Amount and currency together.
    pub(super) fn money(&self) -> Result<Money, AmountError> {
        Money::new(self.amount, self.currency)
    }

    fn check(&self) -> Result<(), InvalidField> {
        self.money().map(drop).map_err(|error| InvalidField::new("amount", error))
    }
}
