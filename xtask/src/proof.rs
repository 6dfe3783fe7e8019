//! The long runs that show the engine and the decoders correct. Each is an ignored test, driven by its environment.
//! Two more are of the bank, and drive it from outside.

use std::{path::Path, process::Command};

use crate::ci::{cargo_command, finish, target_folder};

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

const SIMULATE: Run<'static> =
    Run { package: "bank", target: &["--test", "simulation"], test: "long", length: "FACTUM_PROOF_SEEDS" };

/// It has one length only.
const FLIP: Run<'static> =
    Run { package: "factum-engine", target: &["--test", "it"], test: "flipping::long", length: "FACTUM_PROOF_ALL" };

const DECODERS: [Run<'static>; 2] = [
    Run { package: "factum-engine", target: &["--lib"], test: "fuzzing::long", length: "FACTUM_PROOF_EXECUTIONS" },
    Run { package: "factum", target: &["--lib"], test: "fuzzing::long", length: "FACTUM_PROOF_EXECUTIONS" },
];

impl Run<'_> {
    fn start(self, root: &Path, length: u64, seed: u64) -> anyhow::Result<()> {
        finish(&mut self.command(root, length, seed))
    }

    fn command(self, root: &Path, length: u64, seed: u64) -> Command {
        let Run { package, target, test, length: variable } = self;
        let mut command = cargo_command(root, &["test", "--profile", PROFILE, "--package", package]);
        command.args(target).args(["--", "--exact", test, "--ignored", "--nocapture"]);
        command.env(variable, length.to_string()).env("FACTUM_PROOF_SEED", seed.to_string());
        command
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

/// The whole bank simulated, seed after seed, with an audit after each; prints what happened, counted.
///
/// # Errors
/// When an audit was not clean, or cargo failed.
pub fn simulate(root: &Path, seeds: u64, seed: u64) -> anyhow::Result<()> {
    SIMULATE.start(root, seeds, seed)
}

/// Every bit of a small store's files, flipped; prints what became of them, counted.
///
/// # Errors
/// When an altered event was served, or cargo failed.
pub fn engine_flip(root: &Path) -> anyhow::Result<()> {
    FLIP.start(root, 0, 0)
}

/// Mutated bytes for every decoder; prints the executions of each. Half of them go to the engine's decoders, half to those
/// of the runtime. `keep` adds inputs that end in new ways to the corpus.
///
/// # Errors
/// When a decoder did not pass, or cargo failed.
pub fn fuzz(root: &Path, executions: u64, seed: u64, keep: bool) -> anyhow::Result<()> {
    for run in DECODERS {
        let mut command = run.command(root, executions.div_ceil(DECODERS.len() as u64), seed);
        if keep {
            command.env("FACTUM_PROOF_KEEP", "1");
        }
        finish(&mut command)?;
    }
    Ok(())
}

/// The bank killed under load again and again, with an audit after each restart; prints what was acknowledged.
///
/// # Errors
/// When something acknowledged was lost, a transfer did not end, or cargo failed.
pub fn bank_kill(root: &Path, times: u64, seed: u64) -> anyhow::Result<()> {
    finish(&mut cargo_command(root, &["build", "--package", "bank"]))?;
    let test = "killed::killed_at_random_under_load_it_keeps_what_it_acknowledged";
    let mut command = cargo_command(root, &["test", "--package", "system-tests", "--test", "it"]);
    command.args(["--", "--exact", test, "--nocapture"]);
    finish(command.env("FACTUM_TEST_KILLS", times.to_string()).env("FACTUM_TEST_SEED", seed.to_string()))
}

/// The distributed bank on a broker of its own under random faults, and an audit of everything after; prints what happened,
/// counted.
///
/// # Errors
/// When something did not hold, Kafka cannot be had, or cargo failed.
pub fn torture(root: &Path, minutes: u64, seed: u64) -> anyhow::Result<()> {
    finish(&mut cargo_command(root, &["build", "--workspace", "--bins"]))?;
    let mut command = Command::new(target_folder(root)?.join("debug/torture"));
    command.current_dir(root).args(["--minutes", &minutes.to_string(), "--seed", &seed.to_string()]);
    finish(&mut command)
}
