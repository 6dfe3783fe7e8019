//! The steps that every change passes, one after the other, each with its duration.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, bail};
use cargo_metadata::MetadataCommand;
use clap::ValueEnum;

use crate::{
    Tree,
    dependencies::{self, Graph},
    proof, purity, report,
    services::ForTests,
    test_run, tidy,
};

/// The example that the README shows; it must run to its end.
const EXAMPLE: &str = "counter";

/// How long every change is tortured, and with which seed.
const TORTURE_MINUTES: u64 = 3;
const TORTURE_SEED: u64 = 1;

/// A part of `cargo xtask ci`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Job {
    /// Formatting.
    Fmt,
    /// `cargo xtask tidy`.
    Tidy,
    /// Lints, as errors.
    Clippy,
    /// The documentation builds without a warning.
    Docs,
    /// `cargo xtask torture` for three minutes, of seed 1.
    Torture,
    /// `cargo xtask test`.
    Test,
}

impl Job {
    /// All of them: cheap ones first, the tests last so that their results end the output.
    pub const ALL: [Self; 6] = [Self::Fmt, Self::Tidy, Self::Clippy, Self::Docs, Self::Torture, Self::Test];

    fn run(self, root: &Path) -> bool {
        match self {
            Self::Fmt => {
                let what_to_do = "run `cargo fmt --all` (`rustup component add rustfmt` if it is missing)";
                step("fmt", what_to_do, || cargo(root, &["fmt", "--all", "--check"]))
            }
            Self::Tidy => step("tidy", "mend what is listed; warnings may stay", || run_tidy(root)),
            Self::Clippy => {
                let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
                let what_to_do = "mend what clippy says; if it speaks of the lock file, commit Cargo.lock";
                step("clippy", what_to_do, || cargo(root, &clippy))
            }
            Self::Docs => step("docs", "mend the comments rustdoc points at", || {
                let mut command = cargo_command(root, &["doc", "--no-deps", "--workspace"]);
                finish(command.env("RUSTDOCFLAGS", "-Dwarnings"))
            }),
            Self::Torture => {
                let what_to_do =
                    "`cargo xtask torture --help` tells how to repeat it; what the processes said is listed above";
                step("torture", what_to_do, || proof::torture(root, TORTURE_MINUTES, TORTURE_SEED))
            }
            Self::Test => test(root),
        }
    }
}

/// Runs the jobs in the given order up to the first that fails, which is printed with what to do, and returns whether
/// all passed.
pub fn ci(root: &Path, jobs: &[Job]) -> bool {
    jobs.iter().all(|job| job.run(root))
}

/// Builds the binaries that the system tests start, starts the services that tests need, runs the example and every test,
/// doc tests included, and returns whether all passed. Once the tests ran, the last line printed is `N passed, N failed`, and those before it list what was
/// skipped because this machine lacks something.
pub fn test(root: &Path) -> bool {
    let built = step("build", "mend what the compiler says", || {
        // Built together with everything the tests are built of: a package by itself may unite the features of its
        // dependencies differently, and they would be compiled twice.
        cargo(root, &["build", "--workspace", "--bins", "--examples"])
    });
    let shown = built
        && step("example", "the README's program must run: mend it, or the README", || {
            finish(&mut Command::new(target_folder(root)?.join("debug/examples").join(EXAMPLE)))
        });
    if !shown {
        return false;
    }
    let mut services = None;
    let begun = step("services", "`cargo xtask services up --help` tells what is needed", || {
        services = Some(ForTests::get()?);
        Ok(())
    });
    let Some(services) = services.filter(|_| begun) else { return false };
    let mut sum = test_run::Sum::default();
    let passed = step("test", "the failed tests are listed above; run one with `cargo test NAME`", || {
        let mut command = cargo_command(root, &["test", "--workspace", "--no-fail-fast"]);
        services.tell(&mut command);
        sum = test_run::run(&mut command, &mut io::stdout())?;
        if sum.failed > 0 { bail!("{} failed", sum.failed) } else { Ok(()) }
    });
    for story in &sum.skipped {
        println!("skipped: {story}");
    }
    println!("{sum}");
    passed
}

/// Runs every check of [`tidy`].
///
/// # Errors
/// When a check found an error.
pub fn run_tidy(root: &Path) -> anyhow::Result<()> {
    let errors = report(tidy::all(&Tree::read(root)?));
    if errors > 0 { bail!("{errors} errors") } else { Ok(()) }
}

/// Runs the checks of [`dependencies`] and [`purity`].
///
/// # Errors
/// When a rule is broken, or cargo refuses the manifests.
pub fn check_dependencies(root: &Path) -> anyhow::Result<()> {
    let mut findings = dependencies::check(&Graph::read(root, &[])?);
    findings.extend(purity::check(&Tree::read(root)?));
    let errors = report(findings);
    if errors > 0 { bail!("{errors} errors") } else { Ok(()) }
}

/// The folder of the workspace's manifest.
pub fn workspace_root() -> PathBuf {
    // Cargo tells a program it runs where its manifest is; the folder it was compiled in may have moved since.
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// The folder cargo builds into, however it is configured.
pub(crate) fn target_folder(root: &Path) -> anyhow::Result<PathBuf> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    Ok(metadata.target_directory.into())
}

/// Runs one step in view, with its duration and, when it fails, why and what to do; returns whether it passed.
fn step(name: &str, what_to_do: &str, work: impl FnOnce() -> anyhow::Result<()>) -> bool {
    println!("==> {name}");
    let started = Instant::now();
    let outcome = work();
    let seconds = started.elapsed().as_secs_f64();
    match &outcome {
        Ok(()) => println!("<== {name}: ok after {seconds:.1} s"),
        Err(error) => println!("<== {name}: FAILED after {seconds:.1} s: {error:#}\n    {what_to_do}"),
    }
    outcome.is_ok()
}

pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    finish(&mut cargo_command(root, arguments))
}

pub(crate) fn cargo_command(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments);
    command
}

pub(crate) fn finish(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("starting {}", command.get_program().display()))?;
    if status.success() { Ok(()) } else { bail!("{} ended with {status}", command.get_program().display()) }
}
