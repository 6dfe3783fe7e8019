//! Counts requests, and writes what is counted as Prometheus text (exposition format 0.0.4).
//!
//! Every label value comes from a fixed set: the names of registered commands and queries, the routes of a surface,
//! HTTP statuses. What a caller invents never becomes one.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
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
    series: Mutex<BTreeMap<(&'static str, u16), Durations>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Durations {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum_us: u64,
}

impl Durations {
    fn observe(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        for (count, (bound_us, _)) in self.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(us <= bound_us);
        }
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

impl Meter {
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, name: &'static str, status: u16, duration: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.entry((name, status)).or_default().observe(duration);
    }

    pub(crate) fn write(&self, surface: &str, page: &mut Page) {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner).clone();
        page.family("factum_http_requests_total", "counter", "Requests answered, by name and status.");
        for ((name, status), durations) in &series {
            page.sample("", &[("surface", surface), ("name", name), ("status", &status.to_string())], durations.count);
        }
        page.family("factum_http_request_duration_seconds", "histogram", "From a request's head to its answer.");
        for ((name, status), durations) in &series {
            let status = status.to_string();
            let labels = [("surface", surface), ("name", *name), ("status", status.as_str())];
            for (count, (_, bound)) in durations.buckets.iter().zip(BUCKETS) {
                page.sample("_bucket", &[labels[0], labels[1], labels[2], ("le", bound)], count);
            }
            page.sample("_bucket", &[labels[0], labels[1], labels[2], ("le", "+Inf")], durations.count);
            let (seconds, us) = (durations.sum_us / 1_000_000, durations.sum_us % 1_000_000);
            page.sample("_sum", &labels, format_args!("{seconds}.{us:06}"));
            page.sample("_count", &labels, durations.count);
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
