//! What can be asked of an account.

use std::num::NonZeroU64;

use factum::{Command, InvalidField, Personal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Account, AccountId, AccountRejection, TransferId};
use crate::domain::money::{Amount, AmountError, Currency, Money, amount_fits_currency};

/// The most minor units a transfer moves: what an account holds at most.
const AMOUNT_MINOR_MAX: u64 = AccountRejection::BALANCE_MINOR_MAX;

/// The longest holder's name, in characters.
const HOLDER_CHARS_MAX: usize = 200;

/// Whether a character is an instruction to whatever shows the text: control characters, ends of lines, and what
/// overrides the direction of writing, with which one name looks like another (Unicode TR 36). Names in any script do
/// without.
fn is_instruction(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same, for those who write to this service.
const HOLDER_PATTERN: &str = r"^[^\u0000-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069]*$";

/// Opens an account with a balance of zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "open-account", aggregate = Account, id = account_id, validate = OpenAccount::check)]
pub struct OpenAccount {
    /// Which account; left out, one is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// Whose account: 1 to 200 characters, none of them a control character or one that ends a line or turns text around.
    #[schemars(
        with = "String",
        length(min = 1, max = HOLDER_CHARS_MAX),
        regex(pattern = HOLDER_PATTERN),
        example = "Ada Lovelace"
    )]
    pub holder: Personal<String>,
    /// Its currency, for ever.
    pub currency: Currency,
}

/// Puts money into an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "deposit-funds", aggregate = Account, id = account_id, validate = DepositFunds::check)]
#[schemars(transform = amount_fits_currency)]
pub struct DepositFunds {
    /// Which account.
    pub account_id: AccountId,
    /// How much.
    pub amount: Amount,
    /// In which currency: the account's.
    pub currency: Currency,
}

/// Takes money out of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "withdraw-funds", aggregate = Account, id = account_id, validate = WithdrawFunds::check)]
#[schemars(transform = amount_fits_currency)]
pub struct WithdrawFunds {
    /// Which account.
    pub account_id: AccountId,
    /// How much; at most what is available.
    pub amount: Amount,
    /// In which currency: the account's.
    pub currency: Currency,
}

/// Closes an account for good that is empty and holds nothing for a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "close-account", aggregate = Account, id = account_id)]
pub struct CloseAccount {
    /// Which account.
    pub account_id: AccountId,
}

/// Sets money aside for a transfer. Comes from `transfers`, over the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "hold-funds", aggregate = Account, id = account_id, validate = HoldFunds::check)]
pub struct HoldFunds {
    /// Which account: the one the transfer takes from.
    pub account_id: AccountId,
    /// For which transfer; it has no other hold there.
    pub transfer_id: TransferId,
    /// How much, in minor units; at most what is available.
    #[schemars(range(min = 1, max = AMOUNT_MINOR_MAX))]
    pub amount_minor: NonZeroU64,
    /// In which currency: the account's.
    pub currency: Currency,
}

/// Puts a transfer's money into an account. Comes from `transfers`, over the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "credit-account", aggregate = Account, id = account_id, validate = CreditAccount::check)]
pub struct CreditAccount {
    /// Which account: the one the transfer gives to.
    pub account_id: AccountId,
    /// Which transfer brings it.
    pub transfer_id: TransferId,
    /// How much, in minor units.
    #[schemars(range(min = 1, max = AMOUNT_MINOR_MAX))]
    pub amount_minor: NonZeroU64,
    /// In which currency: the account's.
    pub currency: Currency,
}

/// Takes what is held for a transfer out of the account. Comes from `transfers`, over the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "capture-hold", aggregate = Account, id = account_id)]
pub struct CaptureHold {
    /// Which account.
    pub account_id: AccountId,
    /// Which transfer's hold.
    pub transfer_id: TransferId,
}

/// Makes what is held for a transfer available again. Comes from `transfers`, over the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "release-hold", aggregate = Account, id = account_id)]
pub struct ReleaseHold {
    /// Which account.
    pub account_id: AccountId,
    /// Which transfer's hold.
    pub transfer_id: TransferId,
}

impl OpenAccount {
    fn check(&self) -> Result<(), InvalidField> {
        let holder = self.holder.get().ok_or_else(|| InvalidField::new("holder", "must be given"))?;
        let chars = holder.chars().count();
        if !(1..=HOLDER_CHARS_MAX).contains(&chars) {
            return Err(InvalidField::new("holder", format!("must have 1 to {HOLDER_CHARS_MAX} characters")));
        }
        if holder.chars().any(is_instruction) {
            return Err(InvalidField::new("holder", "must not contain control characters"));
        }
        Ok(())
    }
}

impl DepositFunds {
    /// Amount and currency together.
    pub(super) fn money(&self) -> Result<Money, AmountError> {
        Money::new(self.amount, self.currency)
    }

    fn check(&self) -> Result<(), InvalidField> {
        self.money().map(drop).map_err(|error| InvalidField::new("amount", error))
    }
}

impl WithdrawFunds {
    /// Amount and currency together.
    pub(super) fn money(&self) -> Result<Money, AmountError> {
        Money::new(self.amount, self.currency)
    }

    fn check(&self) -> Result<(), InvalidField> {
        self.money().map(drop).map_err(|error| InvalidField::new("amount", error))
    }
}

impl HoldFunds {
    /// Amount and currency together.
    pub(super) const fn money(&self) -> Money {
        Money::of_minor(self.amount_minor, self.currency)
    }

    fn check(&self) -> Result<(), InvalidField> {
        check_amount_minor(self.amount_minor)
    }
}

impl CreditAccount {
    /// Amount and currency together.
    pub(super) const fn money(&self) -> Money {
        Money::of_minor(self.amount_minor, self.currency)
    }

    fn check(&self) -> Result<(), InvalidField> {
        check_amount_minor(self.amount_minor)
    }
}

fn check_amount_minor(amount_minor: NonZeroU64) -> Result<(), InvalidField> {
    if amount_minor.get() > AMOUNT_MINOR_MAX {
        return Err(InvalidField::new("amount_minor", format!("must be at most {AMOUNT_MINOR_MAX}")));
    }
    Ok(())
}
