//! `cargo xtask bank`: the distributed bank on one machine by one command, of which nothing is left when it has ended.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use local_services::{KafkaOptions, own_kafka_for_tests};
use system_tests::{Process, Site, Surfaces, binary};

use super::{PATIENCE, POLL, Service, says};
use crate::teller::{euros, open, summary, token};

/// How it says that all is there.
const READY: &str = "ready after ";
/// Kafka's Java and the three services.
const PROGRAMS: usize = 4;

/// Where it is run; none: the machine has no way to start a broker, and the story was skipped.
fn place(story: &str) -> anyhow::Result<Option<Site>> {
    let site = Site::new()?;
    // It prepares its own; what would keep it from that is asked for here.
    let lacks = own_kafka_for_tests(story, KafkaOptions::new(site.folder().join("asked"))).is_none();
    Ok((!lacks).then_some(site))
}

fn command(site: &Site, folder: &Path, more: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(binary("xtask")?);
    command.args(["bank", "--no-build", "--port-base", &site.port_base().to_string(), "--folder"]);
    command.arg(folder).args(more);
    Ok(command)
}

/// Starts everything, and waits until it is said to be ready.
async fn start(site: &Site, folder: &Path, more: &[&str]) -> anyhow::Result<Process> {
    let mut process = Process::start(command(site, folder, more)?, site.folder(), "xtask-bank")?;
    says(&mut process, READY).await?;
    Ok(process)
}

/// What the command says when it does not even begin.
async fn refused(site: &Site, folder: &Path) -> anyhow::Result<String> {
    let ended = Process::start(command(site, folder, &[])?, site.folder(), "refused")?.end_within(PATIENCE).await?;
    ensure!(ended.status.code() == Some(1) && ended.stdout.is_empty(), "{}: {}", ended.status, ended.stdout);
    Ok(ended.stderr)
}

/// The processes that were started with something in a folder, without the command itself: their ids, and how they were.
fn processes_of(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let folder = folder.to_str().context("paths of tests are text")?;
    let shown = Command::new("ps").args(["-A", "-ww", "-o", "pid=,stat=,args="]).output().context("ps")?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let of_it = shown.lines().filter(|line| line.contains(folder) && !line.contains("xtask bank"));
    let split = of_it.map(|line| line.trim_start().split_once(' ').unwrap_or((line, "")));
    Ok(split.filter(|(_, rest)| !rest.starts_with('Z')).map(|(id, rest)| (id.to_owned(), rest.to_owned())).collect())
}

/// The programs among them, without the shells that watch them.
fn programs_of(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut programs = processes_of(folder)?;
    programs.retain(|(_, rest)| !rest.contains("watched"));
    Ok(programs)
}

/// The addresses that it printed, all on this machine: Kafka's first.
fn ports(said: &str) -> anyhow::Result<Vec<u16>> {
    let words = said.lines().filter_map(|line| line.split_whitespace().nth(1));
    let ports = words.filter_map(|word| word.trim_start_matches("http://").strip_prefix("127.0.0.1:"));
    Ok(ports.map(str::parse).collect::<Result<_, _>>()?)
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Waits until no process of it is left and no port open: a watcher needs a moment after its owner was killed.
async fn nothing_is_left(folder: &Path, ports: &[u16]) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let (processes, open) = (processes_of(folder)?, ports.iter().filter(|port| listens(**port)).count());
        if processes.is_empty() && open == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{open} ports are open, and there are {processes:?}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_distributed_bank_by_one_command_goes_on_where_it_was_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let Some(site) = place("the_distributed_bank_by_one_command_goes_on_where_it_was_and_leaves_nothing_behind")?
    else {
        return Ok(());
    };
    let (folder, bank) = (site.folder().join("a bank"), Surfaces::above(site.port_base()));
    let mut process = start(&site, &folder, &[]).await?;
    let listening = ports(&process.stdout())?;
    let services = [Service::Accounts, Service::Transfers, Service::Statements];
    assert_eq!(listening[1..], services.map(|service| site.port_base() + service.port_above_base()));
    assert!(listening.iter().all(|port| listens(*port)), "{}", process.stdout());
    assert_eq!(programs_of(&folder)?.len(), PROGRAMS, "{:?}", programs_of(&folder)?);
    let ada = open(&bank, "Ada", "EUR").await?;
    let deposited = bank.command("deposit-funds", &euros(&ada, "125.00"), &[]).await?.accepted()?;
    assert_eq!(summary(&bank, &ada, &token(&deposited)?).await?["balance"], "125.00");

    // Nobody else comes into its folder or onto its ports, and it does not mind.
    let twice = refused(&site, &folder).await?;
    assert!(twice.contains("another bank runs in ") && twice.contains("--folder"), "{twice}");
    let elsewhere = refused(&site, &site.folder().join("elsewhere")).await?;
    let port = format!("something else listens on port {}", listening[1]);
    assert!(elsewhere.contains(&port) && elsewhere.contains("--port-base"), "{elsewhere}");

    process.interrupt()?;
    let ended = process.end_within(PATIENCE).await?;
    assert!(ended.status.success() && ended.stdout.contains("kafka has stopped"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(processes_of(&folder)?, [], "it has ended when all have");
    nothing_is_left(&folder, &listening).await?;

    let mut process = start(&site, &folder, &[]).await?;
    let more = bank.command("deposit-funds", &euros(&ada, "1.00"), &[]).await?.accepted()?;
    assert_eq!(summary(&bank, &ada, &token(&more)?).await?["balance"], "126.00");
    let listening = ports(&process.stdout())?;
    process.kill()?;
    nothing_is_left(&folder, &listening).await?;

    // What was killed is no obstacle either; and it can begin with nothing, and takes nothing that is not its own.
    fs::write(folder.join("mine"), "mine")?;
    let mut process = start(&site, &folder, &["--fresh"]).await?;
    assert!(bank.events().await?.is_empty());
    assert_eq!(fs::read_to_string(folder.join("mine"))?, "mine");
    process.terminate()?;
    let ended = process.end_within(PATIENCE).await?;
    assert!(ended.status.success(), "{}", ended.stderr);
    nothing_is_left(&folder, &listening).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_the_bank_that_dies_is_named_and_the_others_are_ended() -> anyhow::Result<()> {
    let Some(site) = place("a_process_of_the_bank_that_dies_is_named_and_the_others_are_ended")? else {
        return Ok(());
    };
    let folder = site.folder().join("bank");
    for (program, name) in [("/transfers ", "transfers"), ("kafka.Kafka ", "Kafka")] {
        let process = start(&site, &folder, &[]).await?;
        let listening = ports(&process.stdout())?;
        let programs = programs_of(&folder)?;
        let found = programs.iter().find(|(_, rest)| rest.contains(program));
        let (id, _) = found.with_context(|| format!("no {program} among {programs:?}"))?;
        ensure!(Command::new("kill").args(["-s", "KILL", id]).status()?.success(), "kill {id}");
        let ended = process.end_within(PATIENCE).await?;
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
        let named = format!("error: {name} has ended by itself");
        assert!(ended.stderr.contains(&named), "{}", ended.stderr);
        nothing_is_left(&folder, &listening).await?;
    }
    Ok(())
}
