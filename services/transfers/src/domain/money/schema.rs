//! What amounts and currencies look like, for those who write to this service: exactly what it takes.

use std::borrow::Cow;

use iso_currency::IntoEnumIterator as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{Amount, Currency};

/// The most decimals any currency has.
const DECIMALS_MAX: u32 = 4;

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // Who reads must be ready for a currency that comes into being later; who writes may know which are taken today.
        if generator.contract().is_serialize() {
            return json_schema!({ "type": "string", "pattern": "^[A-Z]{3}$", "examples": ["EUR"], "description": "ISO 4217 code" });
        }
        let codes: Vec<&str> = with_decimals(None);
        json_schema!({ "type": "string", "enum": codes, "examples": ["EUR"], "description": "ISO 4217 code" })
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = format!(
            "a positive amount in plain digits, at most {} of them, with no more decimals than the currency has",
            Self::DIGITS_MAX
        );
        json_schema!({
            "type": "string",
            "pattern": plain(DECIMALS_MAX),
            "not": { "pattern": r"^[0.]*$" },
            "examples": ["125.00"],
            "description": description,
        })
    }
}

/// Adds to a document with an `amount` and a `currency` which amounts fit which currency.
pub(in crate::domain) fn amount_fits_currency(schema: &mut Schema) {
    let fitting = |decimals: u32| {
        let codes = with_decimals(Some(decimals));
        let amount = json!({ "pattern": plain(decimals) });
        (!codes.is_empty()).then(|| json!({ "properties": { "currency": { "enum": codes }, "amount": amount } }))
    };
    let choices: Vec<Value> = (0..=DECIMALS_MAX).filter_map(fitting).collect();
    schema.insert("anyOf".to_owned(), choices.into());
}

/// The codes of all currencies, or of those with so many decimals.
fn with_decimals(decimals: Option<u32>) -> Vec<&'static str> {
    let all = iso_currency::Currency::iter().map(Currency).filter(|currency| currency.decimals().is_some());
    let mut codes: Vec<&str> =
        all.filter(|currency| decimals.is_none() || currency.decimals() == decimals).map(Currency::code).collect();
    codes.sort_unstable();
    codes
}

/// The pattern of plain numbers with at most so many decimals and 15 digits in all.
fn plain(decimals: u32) -> String {
    let choices: Vec<String> = (0..=decimals as usize)
        .map(|fine| match (Amount::DIGITS_MAX - fine, fine) {
            (whole, 0) => format!("[0-9]{{1,{whole}}}"),
            (whole, fine) => format!(r"[0-9]{{1,{whole}}}\.[0-9]{{{fine}}}"),
        })
        .collect();
    format!("^({})$", choices.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_currency_has_more_decimals_than_the_pattern_allows() {
        for currency in iso_currency::Currency::iter().map(Currency) {
            assert!(currency.decimals().unwrap_or(0) <= DECIMALS_MAX, "{currency}");
        }
        assert!(with_decimals(Some(0)).contains(&"JPY") && with_decimals(Some(3)).contains(&"KWD"));
        assert!(!with_decimals(None).contains(&"XAU"));
    }

    #[test]
    fn every_choice_of_digits_and_decimals_is_in_the_pattern() {
        assert_eq!(plain(0), "^([0-9]{1,15})$");
        assert_eq!(plain(2), r"^([0-9]{1,15}|[0-9]{1,14}\.[0-9]{1}|[0-9]{1,13}\.[0-9]{2})$");
    }
}
