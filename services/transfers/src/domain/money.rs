//! Money: integer minor units and a currency. In JSON a decimal string beside a currency code.

mod schema;

use std::{borrow::Cow, fmt, num::NonZeroU64, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub(super) use schema::amount_fits_currency;

/// A currency by its ISO 4217 code, three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// The text is no currency code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no ISO 4217 currency code such as EUR")]
pub struct CurrencyError;

impl Currency {
    /// The code: `EUR`.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimals the currency has: 2 for EUR, 0 for JPY. None for what has no minor unit, such as gold.
    pub fn decimals(self) -> Option<u32> {
        self.0.exponent().map(u32::from)
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(code: &str) -> Result<Self, CurrencyError> {
        let currency = iso_currency::Currency::from_code(code).map(Self).ok_or(CurrencyError)?;
        if currency.decimals().is_some() { Ok(currency) } else { Err(CurrencyError) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A positive amount as somebody wrote it: plain digits, perhaps a point and decimals, at most 15 digits in all. Which
/// currency it is in, and so how many decimals it may have, stands beside it: see [`Money::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    units: NonZeroU64,
    decimals: u32,
}

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Something other than digits and one point between them.
    #[error("must be a decimal number in plain digits, such as \"125.00\"")]
    NotPlain,
    /// Zero.
    #[error("must be more than zero")]
    Zero,
    /// More than 15 digits.
    #[error("must have at most {} digits", Amount::DIGITS_MAX)]
    TooLong,
    /// More decimals than the currency has.
    #[error("must have at most {allowed} decimals in {currency}")]
    TooFine {
        /// The currency.
        currency: Currency,
        /// Its decimals.
        allowed: u32,
    },
}

impl Amount {
    /// The most digits, before and after the point together.
    pub const DIGITS_MAX: usize = 15;
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(fraction) {
            return Err(AmountError::NotPlain);
        }
        let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
        if whole.len() + fraction.len() > Self::DIGITS_MAX {
            return Err(AmountError::TooLong);
        }
        // At most 15 digits: they fit.
        let units = format!("{whole}{fraction}").parse().map_err(|_| AmountError::NotPlain)?;
        let units = NonZeroU64::new(units).ok_or(AmountError::Zero)?;
        Ok(Self { units, decimals: fraction.len() as u32 })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.units.get(), self.decimals)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// An amount in a currency: never zero, in minor units (cents).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    minor: NonZeroU64,
    currency: Currency,
}

impl Money {
    /// An amount as written, in a currency.
    ///
    /// # Errors
    /// More decimals than the currency has, or too many digits once they are filled up.
    pub fn new(amount: Amount, currency: Currency) -> Result<Self, AmountError> {
        let allowed = currency.decimals().unwrap_or(0);
        let missing = allowed.checked_sub(amount.decimals).ok_or(AmountError::TooFine { currency, allowed })?;
        let scale = NonZeroU64::new(10_u64.pow(missing)).ok_or(AmountError::Zero)?;
        let minor = amount.units.checked_mul(scale).ok_or(AmountError::TooLong)?;
        Ok(Self { minor, currency })
    }

    /// Minor units.
    pub const fn minor(self) -> u64 {
        self.minor.get()
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, units: u64, decimals: u32) -> fmt::Result {
    if decimals == 0 {
        return write!(f, "{units}");
    }
    let scale = 10_u64.pow(decimals);
    write!(f, "{}.{:0width$}", units / scale, units % scale, width = decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount: &str, currency: &str) -> Result<u64, AmountError> {
        Money::new(amount.parse()?, currency.parse().expect("is a currency")).map(Money::minor)
    }

    #[test]
    fn amounts_are_minor_units_of_their_currency() {
        assert_eq!(money("125.00", "EUR"), Ok(12_500));
        assert_eq!(money("125", "EUR"), Ok(12_500));
        assert_eq!(money("0.5", "EUR"), Ok(50));
        assert_eq!(money("125", "JPY"), Ok(125));
        assert_eq!(money("0.125", "KWD"), Ok(125));
        assert!(matches!(money("0.001", "EUR"), Err(AmountError::TooFine { allowed: 2, .. })));
        assert!(matches!(money("1.0", "JPY"), Err(AmountError::TooFine { allowed: 0, .. })));
    }

    #[test]
    fn what_is_no_plain_positive_number_is_refused() {
        for text in
            ["1e3", "-1", "+1", "NaN", "", " 1", "1 ", "1_000", "١٢", "1.", ".1", "1.2.3", "1,5", "0x1", "\u{0}1"]
        {
            assert_eq!(text.parse::<Amount>(), Err(AmountError::NotPlain), "{text:?}");
        }
        for text in ["0", "0.00", "000"] {
            assert_eq!(text.parse::<Amount>(), Err(AmountError::Zero), "{text:?}");
        }
        assert_eq!("1234567890123456".parse::<Amount>(), Err(AmountError::TooLong));
        assert_eq!("9".repeat(26).parse::<Amount>(), Err(AmountError::TooLong));
        assert!("999999999999999".parse::<Amount>().is_ok());
    }

    #[test]
    fn an_amount_is_written_as_it_was_read() {
        for text in ["125.00", "125", "0.05", "7.5"] {
            assert_eq!(text.parse::<Amount>().map(|amount| amount.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn only_currency_codes_are_currencies() {
        for text in ["eur", "ZZZZ", "", "EU", "€", "XAU"] {
            assert_eq!(text.parse::<Currency>(), Err(CurrencyError), "{text}");
        }
    }
}
