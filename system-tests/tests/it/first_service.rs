//! The guide's first service, made from the page alone in a folder of its own, does what the page says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::ensure;
use system_tests::{PortBase, Process};

use crate::{
    page_requests::{self, with_ports},
    places::{target_folder, workspace},
};

const PAGE: &str = include_str!("../../../docs/guide/first-service.md");
/// How long the service may take to listen, and to stop: far more than it needs, so that a slow machine passes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

#[tokio::test]
async fn the_first_service_of_the_guide_is_built_tested_and_asked_as_the_page_says() -> anyhow::Result<()> {
    let reserved = PortBase::take()?;
    let base = reserved.get();
    let project = project(base)?;
    cargo(&project, &["test"])?;
    cargo(&project, &["build"])?;

    let site = tempfile::tempdir()?;
    let start = |name: &str| {
        let mut command = Command::new(target_folder().join("guide/finished/debug/parcels"));
        command.current_dir(site.path());
        Process::start(command, site.path(), name)
    };
    let mut service = start("first")?;
    listens(&mut service).await?;
    let answers = page_requests::run(PAGE, &ports(base), site.path())?;
    ensure!(answers.len() == 5, "{answers:#?}");
    assert_eq!(answers[1]["version"], 2, "the scan: {}", answers[1]);
    assert_eq!(answers[2]["seen_at"], serde_json::json!(["Milan"]), "{}", answers[2]);
    assert_eq!((&answers[4]["status"], &answers[4]["code"]), (&422.into(), &"already-delivered".into()));
    service.interrupt()?;
    ensure!(service.end_within(PATIENCE).await?.status.success(), "Ctrl-C is an orderly end");

    // The read model is thrown away; what was true stays true.
    for file in ["read.db", "read.db-wal", "read.db-shm"] {
        let _absent = fs::remove_file(site.path().join("data").join(file));
    }
    let mut service = start("second")?;
    listens(&mut service).await?;
    let answers = page_requests::run(PAGE, &ports(base), site.path())?;
    assert_eq!((&answers[0]["status"], &answers[0]["code"]), (&422.into(), &"already-registered".into()));
    assert_eq!((&answers[1]["status"], &answers[1]["code"]), (&422.into(), &"already-delivered".into()));
    Ok(())
}

/// The page's files in a folder beside what looks like a clone of the repository.
fn project(port_base: u16) -> anyhow::Result<PathBuf> {
    let folder = target_folder().join("guide");
    let project = folder.join("parcels");
    fs::create_dir_all(project.join("src"))?;
    let clone = folder.join("factum");
    if !clone.exists() {
        std::os::unix::fs::symlink(workspace(), &clone)?;
    }
    let files = files();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == ["Cargo.toml", "src/parcel.rs", "src/read_model.rs", "src/main.rs"], "{names:?}");
    for (name, text) in &files {
        let mut text = with_ports(text, &ports(port_base));
        if name == "Cargo.toml" {
            // It lies below our own workspace here, of which it is no part.
            text.push_str("\n[workspace]\n");
        }
        fs::write(project.join(name), text)?;
    }
    // The versions that were tested, and nothing is downloaded.
    fs::copy(workspace().join("Cargo.lock"), project.join("Cargo.lock"))?;
    Ok(project)
}

/// The blocks of the page that are files: each has its name in the first code span of the paragraph before it.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut name = None;
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if let (Some(name), true) = (name.take(), line == "```rust" || line == "```toml") {
                files.push((name, text.join("\n") + "\n"));
            }
        } else if let Some(rest) = line.strip_prefix('`') {
            name = rest.split('`').next().map(str::to_owned);
        }
    }
    files
}

/// The ports of the page, and those above a base.
fn ports(base: u16) -> [(u16, u16); 2] {
    [(7101, base + 1), (7102, base + 2)]
}

fn cargo(project: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--offline")
        // As in our own workspace, so that what others' crates compile to is there already.
        .args(["--config", "profile.dev.debug='line-tables-only'"])
        .args(["--config", "profile.dev.package.'*'.debug=false"])
        .current_dir(project)
        .env("CARGO_TARGET_DIR", target_folder().join("guide/finished"))
        .env("CARGO_BUILD_BUILD_DIR", target_folder())
        .output()?;
    ensure!(output.status.success(), "cargo {arguments:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Waits until the service says that it listens.
async fn listens(service: &mut Process) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !service.stdout().contains("Ctrl-C stops") {
        ensure!(!service.has_ended()?, "ended instead of listening: {}", service.stderr());
        ensure!(begun.elapsed() < PATIENCE, "not listening within {PATIENCE:?}: {}", service.stderr());
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
