//! Disks that take nothing: read-only, or full. Each is a small file system in memory that only the program under test
//! sees; where the machine gives no such thing, the story is skipped, and says so.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use system_tests::{PortBase, Process, Side, Surfaces, binary, skipped};
use tokio::time::sleep;

use super::starts::{PROGRAMS, is_one_line, is_ready, refused, without_settings};
use super::{is_refused, refusal};
use crate::teller::{euros, open};

/// How long a full disk may take to fill, and a service to recover from it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether it has recovered.
const POLL: Duration = Duration::from_millis(50);
/// The size of the disk that gets full while the bank runs: room for its first files.
const DISK: &str = "48m";
/// What is given back to the bank, once its disk is full.
const BALLAST_KB: u32 = 36 << 10;

/// A shell line that mounts a disk at `$0` where nobody else sees it, does `then`, and becomes the program.
fn on_disk(mount: &str, then: &str, program: &str, disk: &Path, arguments: &[String]) -> anyhow::Result<Command> {
    let script = format!("mount -t tmpfs {mount} none \"$0\" && {then} && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script]).arg(disk).arg(binary(program)?).args(arguments);
    Ok(without_settings(command))
}

/// Whether this machine lets a test have a disk of its own.
fn has_disks(story: &str) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let probe = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs -o size=64k none \"$0\""])
        .arg(folder.path())
        .output();
    let can = probe.is_ok_and(|output| output.status.success());
    if !can {
        skipped(story, "no file system can be mounted here");
    }
    Ok(can)
}

/// Each program refuses to start on such a disk, in one line that names it and says this.
async fn named_at_the_start(mount: &str, then: &str, told: &str) -> anyhow::Result<()> {
    for program in PROGRAMS {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let disk = folder.path().join("disk");
        fs::create_dir(&disk)?;
        let arguments = program.arguments(&ports, &disk.join("data"));
        let command = on_disk(mount, then, program.name, &disk, &arguments)?;
        let ended = refused(command, folder.path()).await?;
        is_one_line(program.name, &ended, &[&disk.display().to_string(), told]).context(program.name)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_read_only_disk_is_named_at_the_start() -> anyhow::Result<()> {
    if !has_disks("a read-only disk")? {
        return Ok(());
    }
    let told = "the disk is read-only: make it writable, or name another folder";
    named_at_the_start("", "mount -o remount,ro \"$0\"", told).await
}

#[tokio::test]
async fn a_full_disk_is_named_at_the_start() -> anyhow::Result<()> {
    if !has_disks("a full disk at the start")? {
        return Ok(());
    }
    named_at_the_start("-o size=100k", "true", "the disk is full: make space, and start again").await
}

#[tokio::test]
async fn on_a_full_disk_commands_are_refused_queries_go_on_and_space_is_all_it_takes() -> anyhow::Result<()> {
    if !has_disks("a disk that gets full")? {
        return Ok(());
    }
    let [bank, ..] = PROGRAMS;
    let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
    let disk = folder.path().join("disk");
    fs::create_dir(&disk)?;
    let fill = format!("dd if=/dev/zero of=\"$0/ballast\" bs=1k count={BALLAST_KB} 2> /dev/null");
    let arguments = bank.arguments(&ports, &disk.join("data"));
    let command = on_disk(&format!("-o size={DISK}"), &fill, bank.name, &disk, &arguments)?;
    let mut process = Process::start(command, folder.path(), "bank")?;
    let surfaces = Surfaces::above(ports.get());
    is_ready(&mut process, &surfaces, &[Side::Write, Side::Read]).await?;

    let account = open(&surfaces, "Ann", "EUR").await?;
    // Large requests that are refused cost nothing; what fills a disk is what is recorded.
    let mut accepted = 1;
    let begun = Instant::now();
    let full = loop {
        let opening = json!({ "holder": "é".repeat(200), "currency": "EUR" });
        let answer = surfaces.command("open-account", &opening, &[]).await?;
        if answer.status != 200 {
            break answer;
        }
        accepted += 1;
        ensure!(begun.elapsed() < PATIENCE, "the disk is not full after {accepted} commands");
    };
    is_refused(&full, refusal(503, "unavailable", None, "the disk of the event store is full: make space"))?;
    let events = surfaces.events().await?.len();
    ensure!(events == accepted, "{accepted} were accepted, {events} are recorded");
    let summary = surfaces.query(&format!("/queries/account-summary?account_id={account}"), &[]).await?;
    ensure!(summary.status == 200, "queries do not go on: {}", summary.text);
    println!("the disk is full after {accepted} commands");

    fs::remove_file(format!("/proc/{}/root{}", process.id(), disk.join("ballast").display()))?;
    let begun = Instant::now();
    let deposited = loop {
        let answer = surfaces.command("deposit-funds", &euros(&account, "1.00"), &[]).await?;
        if answer.status == 200 {
            break answer;
        }
        ensure!(begun.elapsed() < PATIENCE, "space does not help: {}", answer.text);
        sleep(POLL).await;
    };
    let path = format!("/queries/account-summary?account_id={account}");
    let summary = surfaces.query_when_there(&path, deposited.field("token")).await;
    let summary = summary.with_context(|| process.stderr())?;
    ensure!(summary.json["balance"] == "1.00", "{}", summary.text);
    ensure!(surfaces.events().await?.len() == accepted + 1, "more was recorded than accepted");
    process.terminate()?;
    let ended = process.end_within(PATIENCE).await?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    Ok(())
}
