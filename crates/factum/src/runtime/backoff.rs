//! How long to wait before trying again.

use std::time::Duration;

use super::Runtime;

/// The first wait after an error, where nothing else is said.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(10);
/// The longest wait after an error, where nothing else is said.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Doubling waits with full jitter, up to a limit.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

/// Waits of up to 10 ms at first, 5 s at most.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX)
    }
}

impl Backoff {
    /// Waits of up to `first`, then twice that, and so on up to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, failures: 0 }
    }

    /// The same, as if it had failed this often already.
    #[must_use]
    pub const fn after(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }

    /// It worked: the next wait is a first one again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// How often it failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// It failed: how long to wait. At least half of the step, so that a retry never spins.
    pub fn next(&mut self, runtime: &Runtime) -> Duration {
        let step = self.first.saturating_mul(1 << self.failures.min(16)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let half = u64::try_from(step.as_micros() / 2).unwrap_or(u64::MAX);
        Duration::from_micros(half.saturating_add(runtime.random_below(half.saturating_add(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_over() {
        let (runtime, _clock) = Runtime::manual(7);
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(40));
        for step in [10, 20, 40, 40] {
            let wait = backoff.next(&runtime);
            assert!(wait >= Duration::from_millis(step / 2) && wait <= Duration::from_millis(step), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.next(&runtime) <= Duration::from_millis(10));
    }
}
