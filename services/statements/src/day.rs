//! A day, as bank days are counted here: in UTC.

use std::{borrow::Cow, fmt, str::FromStr};

use factum::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Characters of a day's text.
const CHARS: usize = 10;

/// A day in UTC, from 1970 on. As text `2026-11-23`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(String);

/// The text is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a day from 1970 on such as 2026-11-23")]
pub struct InvalidDay;

impl Day {
    /// The day of a moment.
    pub fn of(moment: Timestamp) -> Self {
        let mut text = moment.to_string();
        text.truncate(CHARS);
        Self(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        let midnight: Timestamp = format!("{text}T00:00:00Z").parse().map_err(|_| InvalidDay)?;
        // Whatever else may be read as this moment, a day has one spelling.
        Some(Self::of(midnight)).filter(|day| day.0 == text).ok_or(InvalidDay)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Day {
    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date", "pattern": "^(19[7-9][0-9]|[2-9][0-9]{3})-", "description": "a day in UTC, from 1970 on" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_belongs_to_its_day_in_utc() {
        let day = |moment: &str| Day::of(moment.parse().expect("a moment")).to_string();
        assert_eq!(day("2026-11-23T23:59:59.999999Z"), "2026-11-23");
        assert_eq!(day("2026-11-24T00:00:00Z"), "2026-11-24");
        assert_eq!(day("2026-11-24T00:30:00+01:00"), "2026-11-23");
    }

    #[test]
    fn only_the_one_spelling_of_a_real_day_is_a_day() {
        for text in ["1970-01-01", "2024-02-29", "2026-11-23"] {
            assert_eq!(text.parse::<Day>().map(|day| day.to_string()), Ok(text.to_owned()));
        }
        let wrong = [
            "",
            "today",
            "2026-11-31",
            "2026-02-29",
            "2026-1-3",
            "20261123",
            "2026-11-23T00:00:00Z",
            " 2026-11-23",
            "2026-11-23 ",
            "1969-12-31",
            "+002026-11-23",
            "2026-13-01",
            "2026-W47-1",
            "٢٠٢٦-١١-٢٣",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Day>(), Err(InvalidDay), "{text}");
        }
    }
}
