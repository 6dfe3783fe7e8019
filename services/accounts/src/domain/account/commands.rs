//! What can be asked of an account.

use factum::{Command, InvalidField, Personal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Account, AccountId};
use crate::domain::money::{Amount, AmountError, Currency, Money, amount_fits_currency};

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

/// Closes an empty account for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "close-account", aggregate = Account, id = account_id)]
pub struct CloseAccount {
    /// Which account.
    pub account_id: AccountId,
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
