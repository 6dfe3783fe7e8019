//! A moment in time, to the microsecond.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Microseconds since 1970-01-01T00:00:00Z. In JSON and text: RFC 3339 in UTC, `2026-11-23T09:30:00.000001Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The text is no RFC 3339 moment between 1970 and 9999.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no RFC 3339 timestamp such as 2026-11-23T09:30:00Z")]
pub struct InvalidTimestamp(String);

impl Timestamp {
    /// The last moment that can be written: 9999-12-30T00:00:00Z; later ones are clamped to it.
    const MICROS_MAX: u64 = 253_402_128_000_000_000;

    /// A moment by its microseconds since 1970.
    pub const fn from_micros(micros: u64) -> Self {
        if micros > Self::MICROS_MAX { Self(Self::MICROS_MAX) } else { Self(micros) }
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// The moment this much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In range by construction: `from_micros` clamps.
        let moment = jiff::Timestamp::from_microsecond(self.0 as i64).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{moment:.6}")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp(text.to_owned()))?;
        let micros = u64::try_from(moment.as_microsecond()).map_err(|_| InvalidTimestamp(text.to_owned()))?;
        Ok(Self::from_micros(micros))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_its_own_text() {
        let moment = Timestamp::from_micros(1_795_426_200_000_001);
        assert_eq!(moment.to_string(), "2026-11-23T09:30:00.000001Z");
        assert_eq!(moment.to_string().parse(), Ok(moment));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "yesterday", "1969-12-31T23:59:59Z", "2026-13-01T00:00:00Z"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_far_future_is_clamped_and_still_prints() {
        assert!(Timestamp::from_micros(u64::MAX).to_string().starts_with("9999-"));
    }
}
