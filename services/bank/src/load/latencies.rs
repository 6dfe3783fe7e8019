//! Latencies in buckets: memory stays the same however many are noted, a quantile is at most 1/32 too high.

use std::time::Duration;

/// Each power of two is cut into this many buckets.
const BUCKETS_PER_DOUBLING: u64 = 32;
/// Up to 2^36 µs, which is 19 hours.
const DOUBLINGS: u64 = 32;
/// All of them; the first doubling's worth is exact.
const BUCKETS: usize = (BUCKETS_PER_DOUBLING * DOUBLINGS) as usize;

/// A histogram of microseconds.
#[derive(Debug, Clone)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: Duration::ZERO }
    }
}

impl Latencies {
    /// Notes one.
    pub fn note(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.max = self.max.max(latency);
    }

    /// Adds all of another's.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The largest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// What `quantile` (0–1) of them did not exceed; zero when there are none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = ((self.total as f64) * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper_bound(bucket as u64)).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(micros: u64) -> usize {
    let doubling = (micros / BUCKETS_PER_DOUBLING).checked_ilog2().map_or(0, |log| u64::from(log) + 1);
    let bucket = match doubling {
        0 => micros,
        _ => doubling * BUCKETS_PER_DOUBLING + (micros >> (doubling - 1)) - BUCKETS_PER_DOUBLING,
    };
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn upper_bound(bucket: u64) -> u64 {
    match bucket / BUCKETS_PER_DOUBLING {
        0 => bucket,
        doubling => ((bucket % BUCKETS_PER_DOUBLING + BUCKETS_PER_DOUBLING + 1) << (doubling - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_ends_little_above_it() {
        let mut micros = 1;
        while micros < 60_000_000_000 {
            for value in [micros - 1, micros, micros + micros / 3] {
                let bound = upper_bound(bucket(value) as u64);
                assert!(bound >= value && bound <= value + value / 32, "{value} in a bucket up to {bound}");
            }
            micros *= 2;
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut odd = Latencies::default();
        let mut even = Latencies::default();
        for micros in 1..=1_000 {
            let half = if micros % 2 == 0 { &mut even } else { &mut odd };
            half.note(Duration::from_micros(micros));
        }
        odd.add(&even);
        assert_eq!(odd.count(), 1_000);
        assert_eq!(odd.max(), Duration::from_millis(1));
        let median = odd.quantile(0.5).as_micros();
        assert!((500..=516).contains(&median), "{median}");
        assert_eq!(odd.quantile(1.0), Duration::from_millis(1));
        assert_eq!(Latencies::default().quantile(0.99), Duration::ZERO);
    }
}
