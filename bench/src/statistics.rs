//! Medians and percentiles.

use std::time::Duration;

/// The value below which this share of the values lies; sorts them.
///
/// # Panics
/// There are no values.
pub fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    values[((values.len() - 1) as f64 * share) as usize]
}

/// The middle value; sorts them.
///
/// # Panics
/// There are no values.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds, for printing.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
