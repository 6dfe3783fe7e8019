//! What contract suites have in common.

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    time::Duration,
};

use crate::runtime::panic_text;

/// How long a suite waits for something that should happen at once.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(20);

/// Runs every case, also after one has failed.
///
/// # Panics
/// A case failed: names all that did, with the first line of why.
pub(super) fn run_all<'a>(suite: &str, cases: impl IntoIterator<Item = (&'a str, Box<dyn FnOnce() + 'a>)>) {
    let failures: Vec<String> = cases
        .into_iter()
        .filter_map(|(name, case)| {
            let outcome = catch_unwind(AssertUnwindSafe(case));
            outcome.err().map(|payload| format!("{name}: {}", panic_text(payload.as_ref())))
        })
        .collect();
    verdict(suite, &failures);
}

/// # Panics
/// There are failures.
#[track_caller]
pub(super) fn verdict(suite: &str, failures: &[String]) {
    assert!(failures.is_empty(), "the {suite} breaks its contract:\n  {}", failures.join("\n  "));
}

/// The value, or a panic that tells the error.
#[track_caller]
pub(super) fn ok<T, E: Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("unexpected error: {error}"),
    }
}

/// What another thread sends, or a panic when it does not come.
#[track_caller]
pub(super) fn receive<T>(from: &mpsc::Receiver<T>, what: &str) -> T {
    match from.recv_timeout(WAIT_MAX) {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error} after {WAIT_MAX:?}"),
    }
}
