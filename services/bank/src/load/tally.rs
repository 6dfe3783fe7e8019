//! What became of the commands of a load run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::latencies::Latencies;
use crate::client::ClientError;

/// The most different failures whose first text is kept.
const FAILURES_KEPT_MAX: usize = 20;

/// Counts of one worker, or of all together.
#[derive(Debug, Default)]
pub struct Tally {
    /// Commands that were accepted.
    pub accepted: u64,
    /// Withdrawals refused because the money is not there: as it should be.
    pub insufficient_funds: u64,
    /// Commands that ended otherwise.
    pub failed: u64,
    /// Accepted commands of the sample that no summary showed, in spite of their token.
    pub unread: u64,
    /// From sending a command to its answer, retries included.
    pub answered: Latencies,
    /// From sending a command to a summary that shows it, for a sample of the accepted.
    pub visible: Latencies,
    /// The transfers that were accepted.
    pub transfers: Vec<Uuid>,
    failures: BTreeMap<String, u64>,
}

impl Tally {
    /// Notes a command that failed.
    pub fn fail(&mut self, error: &ClientError) {
        self.failed += 1;
        self.fail_because(error.to_string(), 1);
    }

    /// Notes an accepted command that could not be read back.
    pub fn fail_to_read(&mut self, what: String) {
        self.unread += 1;
        self.fail_because(what, 1);
    }

    /// Whether nothing went otherwise than it should.
    pub fn is_clean(&self) -> bool {
        self.failed + self.unread == 0
    }

    fn fail_because(&mut self, text: String, times: u64) {
        if self.failures.len() < FAILURES_KEPT_MAX || self.failures.contains_key(&text) {
            *self.failures.entry(text).or_default() += times;
        }
    }

    /// Adds all of another's.
    pub fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.insufficient_funds += other.insufficient_funds;
        self.failed += other.failed;
        self.unread += other.unread;
        self.answered.add(&other.answered);
        self.visible.add(&other.visible);
        self.transfers.extend(other.transfers);
        for (text, times) in other.failures {
            self.fail_because(text, times);
        }
    }

    /// How many commands were sent and answered, or given up.
    pub fn total(&self) -> u64 {
        self.accepted + self.insufficient_funds + self.failed
    }

    /// The tally as JSON, after `elapsed`; times in microseconds.
    pub fn to_json(&self, elapsed: Duration) -> Value {
        json!({
            "accepted": self.accepted,
            "insufficient_funds": self.insufficient_funds,
            "failed": self.failed,
            "unread": self.unread,
            "failures": self.failures,
            "elapsed_us": micros(elapsed),
            "rate_per_s": self.rate(elapsed),
            "answered_us": quantiles(&self.answered),
            "visible_us": quantiles(&self.visible),
        })
    }

    /// The tally as lines for people; `what` was sent.
    pub fn to_text(&self, what: &str, elapsed: Duration) -> String {
        let line = |name: &str, latencies: &Latencies| {
            format!(
                "  {name:<9}p50 {:.1?}  p99 {:.1?}  max {:.1?}  ({} measured)\n",
                latencies.quantile(0.5),
                latencies.quantile(0.99),
                latencies.max(),
                latencies.count()
            )
        };
        let mut text = format!(
            "{} {what} in {elapsed:.1?}, {:.0}/s: {} accepted, {} without the money for it, {} failed, {} not read back\n",
            self.total(),
            self.rate(elapsed),
            self.accepted,
            self.insufficient_funds,
            self.failed,
            self.unread
        );
        text += &line("answered", &self.answered);
        text += &line("visible", &self.visible);
        for (failure, times) in &self.failures {
            text += &format!("  {times} × {failure}\n");
        }
        text
    }

    fn rate(&self, elapsed: Duration) -> f64 {
        self.total() as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

fn quantiles(latencies: &Latencies) -> Value {
    json!({
        "count": latencies.count(),
        "p50": micros(latencies.quantile(0.5)),
        "p99": micros(latencies.quantile(0.99)),
        "max": micros(latencies.max()),
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
