//! Two processes for one data folder: one works, the other waits for its place.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;
use system_tests::{PortBase, Process, Side, Site, Surfaces, binary};

/// How long anything may take on a machine that does a lot besides.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is made sure that nothing happens: many times the time between two looks.
const GLANCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(10);
const ACCOUNT: &str = "6f1a7c1e-0000-4000-8000-000000000001";

fn bank(site: &Site, more: &[&str]) -> anyhow::Result<Process> {
    bank_as(site, more, if more.is_empty() { "bank" } else { "standby" })
}

fn bank_as(site: &Site, more: &[&str], name: &str) -> anyhow::Result<Process> {
    let (port_base, data) = (site.port_base().to_string(), site.data());
    let mut command = site.command(&["--port-base", &port_base, "--data"])?;
    command.arg(data).args(more);
    Process::start(command, site.folder(), name)
}

async fn waits(standby: &mut Process) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !standby.stdout().contains("which another process has open") {
        ensure!(!standby.has_ended()?, "it does not wait: {}", standby.stderr());
        ensure!(begun.elapsed() < PATIENCE, "it does not say that it waits: {}", standby.stdout());
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

async fn ready(surfaces: &Surfaces) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while !surfaces.are_ready().await {
        ensure!(begun.elapsed() < PATIENCE, "nobody is ready");
        tokio::time::sleep(POLL).await;
    }
    Ok(begun.elapsed())
}

fn signal(process: &Process, signal: &str) -> anyhow::Result<()> {
    let sent = Command::new("kill").args(["-s", signal, &process.id().to_string()]).status()?;
    ensure!(sent.success(), "kill -s {signal}: {sent}");
    Ok(())
}

#[tokio::test]
async fn a_standby_takes_over_when_the_bank_is_killed_and_not_while_it_is_only_stopped() -> anyhow::Result<()> {
    let site = Site::new()?;
    let mut first = bank(&site, &[])?;
    let surfaces = Surfaces::above(site.port_base());
    ready(&surfaces).await?;
    let account = json!({ "account_id": ACCOUNT, "holder": "Ada", "currency": "EUR" });
    surfaces.command("open-account", &account, &[]).await?.accepted()?;
    let mut second = bank(&site, &["--standby"])?;
    waits(&mut second).await?;

    signal(&first, "STOP")?;
    tokio::time::sleep(GLANCE).await;
    ensure!(!second.has_ended()? && !second.stdout().contains("The bank is open"), "{}", second.stdout());
    signal(&first, "CONT")?;
    let deposit = json!({ "account_id": ACCOUNT, "amount": "1.50", "currency": "EUR" });
    surfaces.command("deposit-funds", &deposit, &[]).await?.accepted()?;

    first.kill()?;
    let took = ready(&surfaces).await?;
    println!("taken over after {took:?}");
    let deposited = surfaces.command("deposit-funds", &deposit, &[]).await?.accepted()?;
    let token = deposited.header("factum-token");
    let summary = surfaces.query_when_there(&format!("/queries/account-summary?account_id={ACCOUNT}"), token).await?;
    ensure!(summary.json["balance"] == "3.00", "{}", summary.text);
    second.terminate()?;
    let ended = second.end_within(PATIENCE).await?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn a_standby_that_waits_ends_when_asked_and_when_its_folder_is_gone() -> anyhow::Result<()> {
    let site = Site::new()?;
    let first = site.start().await?;
    for ends in [Process::interrupt, Process::terminate] {
        let mut standby = bank(&site, &["--standby"])?;
        waits(&mut standby).await?;
        ends(&mut standby)?;
        let ended = standby.end_within(PATIENCE).await?;
        ensure!(ended.status.success() && ended.stderr.is_empty(), "{}: {}", ended.status, ended.stderr);
    }
    ensure!(first.surfaces().are_ready().await, "the first is disturbed");

    let mut standby = bank(&site, &["--standby"])?;
    waits(&mut standby).await?;
    fs::remove_dir_all(site.data().join("bus"))?;
    let ended = standby.end_within(PATIENCE).await?;
    ensure!(ended.status.code() == Some(1), "{}", ended.status);
    ensure!(ended.stderr.lines().count() == 1 && ended.stderr.contains("was deleted while"), "{}", ended.stderr);
    Ok(())
}

/// What a service manager does: the bank that was killed is started again, and binds its ports, at the moment in which the
/// standby takes over. Both gave up, each for what the other had.
#[tokio::test]
async fn a_standby_waits_for_ports_that_are_in_use_for_a_moment() -> anyhow::Result<()> {
    let site = Site::new()?;
    let mut first = bank(&site, &[])?;
    ready(&Surfaces::above(site.port_base())).await?;
    let ports = PortBase::take()?;
    let surfaces = Surfaces::above(ports.get());
    let in_use = TcpListener::bind(surfaces.address(Side::Read))?;
    let (port_base, data) = (ports.get().to_string(), site.data());
    let mut command = site.command(&["--port-base", &port_base, "--standby", "--data"])?;
    command.arg(&data);
    let mut standby = Process::start(command, site.folder(), "standby")?;
    waits(&mut standby).await?;
    first.kill()?;
    tokio::time::sleep(GLANCE).await;
    ensure!(!standby.has_ended()?, "it gives up: {}", standby.stderr());
    drop(in_use);
    ready(&surfaces).await?;
    Ok(())
}

#[tokio::test]
async fn of_two_standbys_one_takes_over_and_the_other_waits_for_that_one() -> anyhow::Result<()> {
    let site = Site::new()?;
    let surfaces = Surfaces::above(site.port_base());
    let mut first = bank(&site, &[])?;
    ready(&surfaces).await?;
    let mut standbys = Vec::new();
    for name in ["standby-1", "standby-2"] {
        let mut standby = bank_as(&site, &["--standby"], name)?;
        waits(&mut standby).await?;
        standbys.push(standby);
    }
    first.kill()?;
    ready(&surfaces).await?;
    let has_taken_over = |standby: &Process| standby.stdout().contains("The bank is open");
    let begun = Instant::now();
    while !standbys.iter().any(has_taken_over) {
        ensure!(begun.elapsed() < PATIENCE, "nobody says that it has taken over");
        tokio::time::sleep(POLL).await;
    }
    standbys.sort_by_key(|standby| !has_taken_over(standby));
    ensure!(!has_taken_over(&standbys[1]) && !standbys[1].has_ended()?, "{}", standbys[1].stderr());
    standbys[0].kill()?;
    ready(&surfaces).await?;
    ensure!(!standbys[1].has_ended()?, "{}", standbys[1].stderr());
    Ok(())
}

#[tokio::test]
async fn every_service_has_its_standby() -> anyhow::Result<()> {
    for (name, side) in [("accounts", Side::Write), ("transfers", Side::Transfers), ("statements", Side::Read)] {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let surfaces = Surfaces::above(ports.get());
        let port = surfaces.address(side).port();
        let mut first = service(name, port, folder.path(), &[])?;
        alive(&surfaces, side).await?;
        let mut second = service(name, port, folder.path(), &["--standby"])?;
        waits(&mut second).await?;
        first.kill()?;
        alive(&surfaces, side).await?;
        let third = service(name, PortBase::take()?.get(), folder.path(), &[])?.end_within(PATIENCE).await?;
        ensure!(third.status.code() == Some(1), "without --standby {name} does not wait");
        second.interrupt()?;
        let ended = second.end_within(PATIENCE).await?;
        ensure!(ended.status.success(), "{name}: {}", ended.stderr);
    }
    Ok(())
}

fn service(name: &str, port: u16, folder: &Path, more: &[&str]) -> anyhow::Result<Process> {
    let mut command = Command::new(binary(name)?);
    command.current_dir(folder).args(["--port", &port.to_string(), "--data"]).arg(folder.join("data")).args(more);
    Process::start(command, folder, &format!("{name}{}{port}", more.concat()))
}

async fn alive(surfaces: &Surfaces, side: Side) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !surfaces.send(side, "GET", "/readyz", Vec::new(), &[]).await.is_ok_and(|answer| answer.status == 200) {
        ensure!(begun.elapsed() < PATIENCE, "nobody is ready");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
