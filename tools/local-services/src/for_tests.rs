//! Services for tests: where they are, and what a test does on a machine that has none.

use std::{env, io::Write as _};

use crate::{Error, Kafka, KafkaOptions, Left};

/// The environment variable that names a running broker for tests, `host:port`.
pub const KAFKA_VARIABLE: &str = "FACTUM_TEST_KAFKA";
/// The environment variable that makes a missing service a failure, when it is `1`.
pub const REQUIRED_VARIABLE: &str = "FACTUM_REQUIRE_SERVICES";

/// Says that a story is skipped, and why, in a line of its own that no test runner keeps to itself; `cargo xtask test`
/// lists these lines at its end. What `println!` says is not shown when a test passes, as one that is skipped does.
pub fn skipped(story: &str, reason: &str) {
    // The line before may be half written: a name, or dots.
    let line = format!("\nSKIPPED {story}: {}\n", reason.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut out = std::io::stdout().lock();
    // Nothing is left to do when nobody reads it.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// The broker that tests share: the one that [`KAFKA_VARIABLE`] names, or the one that `cargo xtask services up` left
/// running. `None` says that the story was skipped.
///
/// # Panics
/// When there is none although [`REQUIRED_VARIABLE`] says that there must be.
pub fn kafka_for_tests(story: &str) -> Option<String> {
    if let Some(named) = env::var(KAFKA_VARIABLE).ok().filter(|broker| !broker.is_empty()) {
        return Some(named);
    }
    match Left::find() {
        Ok(Some(left)) => Some(left.bootstrap),
        Ok(None) => lacking(story, "no Kafka runs: `cargo xtask services up` starts one"),
        Err(error) => lacking(story, &error.to_string()),
    }
}

/// A broker of a test's own, not started yet. `None` says that the story was skipped.
///
/// # Panics
/// When it cannot be had although [`REQUIRED_VARIABLE`] says that it must be, or for another reason than a lack of the
/// machine's.
pub fn own_kafka_for_tests(story: &str, options: KafkaOptions) -> Option<Kafka> {
    match Kafka::prepare(options) {
        Ok(kafka) => Some(kafka),
        Err(error @ Error::Missing { .. }) => lacking(story, &error.to_string()),
        Err(error) => panic!("{story}: {error}"),
    }
}

/// A story that cannot be told because the machine lacks something: it is skipped.
///
/// # Panics
/// When [`REQUIRED_VARIABLE`] says that nothing may be lacking.
pub fn lacking<T>(story: &str, why: &str) -> Option<T> {
    assert!(env::var(REQUIRED_VARIABLE).as_deref() != Ok("1"), "{story}: {why}");
    skipped(story, why);
    None
}
