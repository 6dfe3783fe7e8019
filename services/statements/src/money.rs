//! Amounts as this service shows them.

use std::{borrow::Cow, fmt};

use iso_currency::IntoEnumIterator as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The pattern of amounts as they are shown.
pub(crate) const DECIMAL: &str = r"^-?[0-9]+(\.[0-9]+)?$";

/// A currency by its ISO 4217 code; what it is needed for here is its number of decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The code: `EUR`.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Minor units as a decimal text: 9950 in EUR is `99.50`, −50 is `-0.50`.
    pub fn decimal(self, minor: i128) -> String {
        let decimals = self.0.exponent().map_or(0, usize::from);
        let sign = if minor < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", minor.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }
}

impl fmt::Display for Currency {
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
        let code = Cow::<'de, str>::deserialize(deserializer)?;
        iso_currency::Currency::from_code(&code).map(Self).ok_or_else(|| D::Error::custom("no ISO 4217 currency code"))
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // Who reads must be ready for a currency that comes into being later; who asks may know which there are today.
        if generator.contract().is_serialize() {
            return json_schema!({
                "type": "string", "pattern": "^[A-Z]{3}$", "examples": ["EUR"], "description": "ISO 4217 code"
            });
        }
        let mut codes: Vec<&str> = iso_currency::Currency::iter().map(|currency| currency.code()).collect();
        codes.sort_unstable();
        json_schema!({ "type": "string", "enum": codes, "examples": ["EUR"], "description": "ISO 4217 code" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_are_shown_as_decimals() {
        let currency = |code| Currency(iso_currency::Currency::from_code(code).expect("is a currency"));
        assert_eq!(currency("EUR").decimal(9_950), "99.50");
        assert_eq!(currency("EUR").decimal(-5), "-0.05");
        assert_eq!(currency("EUR").decimal(0), "0.00");
        assert_eq!(currency("JPY").decimal(-125), "-125");
        assert_eq!(currency("KWD").decimal(1), "0.001");
    }
}
