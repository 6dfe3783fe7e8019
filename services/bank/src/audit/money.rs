//! Minor units and their decimal text. The auditor's own: it must not share a mistake with what it audits.

use std::fmt::Write;

use iso_currency::Currency;

/// How many decimals a currency has, by ISO 4217; none when there is no such currency.
pub fn decimals(code: &str) -> Option<u32> {
    Currency::from_code(code)?.exponent().map(u32::from)
}

/// `-2550` with 2 decimals is `-25.50`; with none it is `-2550`.
pub fn to_decimal(minor: i128, decimals: u32) -> String {
    let unit = 10_u128.pow(decimals);
    let (whole, fraction) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    let mut text = String::new();
    if minor < 0 {
        text.push('-');
    }
    let written = match decimals {
        0 => write!(text, "{whole}"),
        _ => write!(text, "{whole}.{fraction:0width$}", width = decimals as usize),
    };
    written.expect("writing to a string cannot fail");
    text
}

/// Reads exactly what [`to_decimal`] writes; anything else, as `1.5` or `+1.50` with 2 decimals, is none.
pub fn to_minor(text: &str, decimals: u32) -> Option<i128> {
    let digits: String = text.chars().filter(|c| *c != '.').collect();
    let minor = digits.parse().ok()?;
    (to_decimal(minor, decimals) == text).then_some(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_are_written_with_the_decimals_of_the_currency() {
        assert_eq!(decimals("EUR"), Some(2));
        assert_eq!(decimals("JPY"), Some(0));
        assert_eq!(decimals("EURO"), None);
        assert_eq!(to_decimal(12_500, 2), "125.00");
        assert_eq!(to_decimal(-5, 2), "-0.05");
        assert_eq!(to_decimal(0, 2), "0.00");
        assert_eq!(to_decimal(-9_950, 0), "-9950");
    }

    #[test]
    fn only_the_exact_text_is_read_back() {
        for minor in [0, 1, -1, 99, 100, -12_345, i128::from(i64::MAX)] {
            for decimals in [0, 2, 3] {
                assert_eq!(to_minor(&to_decimal(minor, decimals), decimals), Some(minor));
            }
        }
        for wrong in ["", "-", ".", "1", "1.5", "+1.50", "01.50", "1.500", "-0.00", "1,50", "1.5.0", "NaN"] {
            assert_eq!(to_minor(wrong, 2), None, "{wrong:?}");
        }
    }
}
