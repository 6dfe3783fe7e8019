//! Counts requests, and writes what is counted as Prometheus text (exposition format 0.0.4).
//!
//! Every label value comes from a fixed set: the names of registered commands and queries, the routes of a surface,
//! HTTP statuses. What a caller invents never becomes one.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

/// The upper bounds of the duration histogram, in microseconds and as Prometheus writes them, in seconds.
const BUCKETS: [(u64, &str); 14] = [
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// What a surface counts of its requests.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    in_flight: AtomicI64,
    // Written to only when a name is first answered with a status: counting takes no lock that others wait for.
    series: RwLock<BTreeMap<(&'static str, u16), Arc<Durations>>>,
}

/// Each duration stands in its bucket alone; in the last one what is beyond every bound.
#[derive(Debug, Default)]
struct Durations {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    sum_us: AtomicU64,
}

impl Durations {
    fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.partition_point(|(bound_us, _)| *bound_us < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many lie at or below each bound; the last number is that of all.
    fn cumulated(&self) -> [u64; BUCKETS.len() + 1] {
        let mut sum = 0;
        self.buckets.each_ref().map(|bucket| {
            sum += bucket.load(Ordering::Relaxed);
            sum
        })
    }
}

impl Meter {
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, name: &'static str, status: u16, duration: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(durations) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&(name, status)) {
            return durations.observe(duration);
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        series.entry((name, status)).or_default().observe(duration);
    }

    pub(crate) fn write(&self, surface: &str, page: &mut Page) {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner).clone();
        let series: Vec<_> = series.iter().map(|(key, durations)| (key, durations, durations.cumulated())).collect();
        page.family("factum_http_requests_total", "counter", "Requests answered, by name and status.");
        for ((name, status), _, cumulated) in &series {
            let labels = [("surface", surface), ("name", *name), ("status", &status.to_string())];
            page.sample("", &labels, cumulated[BUCKETS.len()]);
        }
        page.family("factum_http_request_duration_seconds", "histogram", "From a request's head to its answer.");
        for ((name, status), durations, cumulated) in &series {
            let status = status.to_string();
            let labels = [("surface", surface), ("name", *name), ("status", status.as_str())];
            for (count, (_, bound)) in cumulated.iter().zip(BUCKETS) {
                page.sample("_bucket", &[labels[0], labels[1], labels[2], ("le", bound)], count);
            }
            page.sample("_bucket", &[labels[0], labels[1], labels[2], ("le", "+Inf")], cumulated[BUCKETS.len()]);
            let sum_us = durations.sum_us.load(Ordering::Relaxed);
            let (seconds, us) = (sum_us / 1_000_000, sum_us % 1_000_000);
            page.sample("_sum", &labels, format_args!("{seconds}.{us:06}"));
            page.sample("_count", &labels, cumulated[BUCKETS.len()]);
        }
        page.family("factum_http_requests_in_flight", "gauge", "Requests being worked on, this one included.");
        page.sample("", &[("surface", surface)], self.in_flight.load(Ordering::Relaxed));
    }
}

/// A page of Prometheus text under construction.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    pub(crate) const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a family of samples.
    pub(crate) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a sample to the family begun last.
    pub(crate) fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.family);
        for (index, (name, value)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{open}{name}=\"{value}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}
