//! The long runs that show the engine and the decoders correct. Each is an ignored test, driven by its environment.

use std::path::Path;

use crate::ci::{cargo_command, finish};

/// Optimised, with every assertion and overflow check.
const PROFILE: &str = "proof";

/// A long run: one ignored test of one crate, and how long it lasts.
#[derive(Clone, Copy, Debug)]
struct Run<'a> {
    package: &'a str,
    /// Which of the package's tests: the library's own, or those in `tests/it`.
    target: &'a [&'a str],
    test: &'a str,
    /// The environment variable that says how long.
    length: &'a str,
}

const MODEL: Run<'static> =
    Run { package: "factum-engine", target: &["--test", "it"], test: "lives::long", length: "FACTUM_PROOF_OPERATIONS" };

const KILL: Run<'static> =
    Run { package: "factum-engine", target: &["--test", "it"], test: "killed::long", length: "FACTUM_PROOF_TIMES" };

impl Run<'_> {
    fn start(self, root: &Path, length: u64, seed: u64) -> anyhow::Result<()> {
        let Run { package, target, test, length: variable } = self;
        let mut command = cargo_command(root, &["test", "--profile", PROFILE, "--package", package]);
        command.args(target).args(["--", "--exact", test, "--ignored", "--nocapture"]);
        command.env(variable, length.to_string()).env("FACTUM_PROOF_SEED", seed.to_string());
        finish(&mut command)
    }
}

/// Random operations on engines beside a naive model, with crashes and reopenings; prints what happened, counted.
///
/// # Errors
/// When an engine did what the model does not, or cargo failed.
pub fn engine_model(root: &Path, operations: u64, seed: u64) -> anyhow::Result<()> {
    MODEL.start(root, operations, seed)
}

/// A real process killed under load again and again; prints what it had acknowledged.
///
/// # Errors
/// When something acknowledged was lost, or cargo failed.
pub fn engine_kill(root: &Path, times: u64, seed: u64) -> anyhow::Result<()> {
    KILL.start(root, times, seed)
}
