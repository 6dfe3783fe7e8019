//! `cargo xtask contract`: the services' own tests of their contracts, which alone know the code's side of it.

use std::{fs, path::Path};

use anyhow::ensure;

use crate::ci::{cargo_command, finish};

/// The tests that hold a contract against code and release; each service that has one has its test in a module of this name.
const TESTS: &str = "contract";
/// As `factum::testing` names them.
const RELEASE_VARIABLE: &str = "RELEASE_CONTRACT";
const BREAK_VARIABLE: &str = "BREAK_CONTRACT";

/// Fails when a contract is not what the code publishes, or breaks who relies on what was released.
///
/// # Errors
/// It does, or cargo failed.
pub fn check(root: &Path) -> anyhow::Result<()> {
    run(root, &[])
}

/// Releases every contract; with a reason, also one that breaks somebody.
///
/// # Errors
/// It would break somebody, and no reason is given; or cargo failed.
pub fn release(root: &Path, breaking: Option<&str>) -> anyhow::Result<()> {
    ensure!(breaking.is_none_or(|why| !why.trim().is_empty()), "--breaking wants the reason");
    let why = breaking.map(|why| (BREAK_VARIABLE, why));
    run(root, &[Some((RELEASE_VARIABLE, "1")), why].into_iter().flatten().collect::<Vec<_>>())
}

fn run(root: &Path, variables: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut command = cargo_command(root, &["test", "--quiet"]);
    for service in services(root)? {
        command.args(["--package", &service]);
    }
    for variable in [RELEASE_VARIABLE, BREAK_VARIABLE] {
        command.env_remove(variable);
    }
    command.envs(variables.iter().copied()).args(["--test", "it", "--", TESTS]);
    finish(&mut command)
}

/// The services that publish something.
fn services(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("services"))? {
        let entry = entry?;
        if entry.path().join("contract/index.json").is_file() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "no service has a contract");
    Ok(found)
}
