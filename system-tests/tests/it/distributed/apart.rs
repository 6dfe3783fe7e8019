//! Services know only the bus: none holds a connection to another or has a file of another's open, and each works alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use system_tests::{Process, Side, binary, skipped};

use super::{PATIENCE, Service, Town, relay_of_accounts, says, until};
use crate::{
    teller::{ended, euros, open, transfer},
    under_load::UnderLoad,
};

/// How often the tables are looked at while commands are sent.
const LOOKS: usize = 20;
/// Where the system tells of processes.
const PROC: &str = "/proc";

/// One end of a connection, and the other.
type Connection = (u16, u16);

/// What a process holds.
#[derive(Debug, Default)]
struct Holdings {
    files: BTreeSet<PathBuf>,
    connections: BTreeSet<Connection>,
}

/// What the system says that a process holds at this moment.
fn holdings(process: u32) -> anyhow::Result<Holdings> {
    let own = Path::new(PROC).join(process.to_string());
    let tables = [tcp_table(&own.join("net/tcp"))?, tcp_table(&own.join("net/tcp6"))?];
    let mut holdings = Holdings::default();
    for descriptor in fs::read_dir(own.join("fd"))? {
        // It may be closed by now.
        let Ok(target) = fs::read_link(descriptor?.path()) else { continue };
        let name = target.to_string_lossy();
        match name.strip_prefix("socket:[").and_then(|inode| inode.strip_suffix(']')) {
            Some(inode) => holdings.connections.extend(tables.iter().filter_map(|table| table.get(inode))),
            None => drop(holdings.files.insert(target)),
        }
    }
    // Mapped files need no descriptor.
    let maps = fs::read_to_string(own.join("maps"))?;
    holdings.files.extend(maps.lines().filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..]))));
    Ok(holdings)
}

/// The connections of a table of the system by inode; sockets that only listen are none.
fn tcp_table(path: &Path) -> anyhow::Result<HashMap<String, Connection>> {
    let port = |address: &str| {
        let (_, port) = address.rsplit_once(':').context("an address")?;
        Ok::<u16, anyhow::Error>(u16::from_str_radix(port, 16)?)
    };
    let mut table = HashMap::new();
    for line in fs::read_to_string(path)?.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (&local, &remote, &inode) =
            (fields.get(1).context(PROC)?, fields.get(2).context(PROC)?, fields.get(9).context(PROC)?);
        if port(remote)? != 0 {
            table.insert(inode.to_owned(), (port(local)?, port(remote)?));
        }
    }
    Ok(table)
}

/// A process of the bank: what it may have open, and where it listens.
struct Member {
    process: u32,
    folder: PathBuf,
    port: u16,
}

/// What members hold of each other, in words.
fn trespasses(members: &BTreeMap<&'static str, Member>) -> anyhow::Result<Vec<String>> {
    let mut held = BTreeMap::new();
    for (name, member) in members {
        held.insert(name, holdings(member.process)?);
    }
    let mut found = Vec::new();
    for (name, mine) in &held {
        for (other, member) in members.iter().filter(|(other, _)| *other != *name) {
            let files = mine.files.iter().filter(|file| file.starts_with(&member.folder));
            found.extend(files.map(|file| format!("{name} has {} of {other} open", file.display())));
            let theirs = &held[other].connections;
            let to = |(local, remote): &&Connection| *remote == member.port || theirs.contains(&(*remote, *local));
            found
                .extend(mine.connections.iter().filter(to).map(|at| format!("{name} is connected to {other}: {at:?}")));
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_service_is_connected_to_another_or_has_a_file_of_anothers_open() -> anyhow::Result<()> {
    let story = "no service is connected to another";
    if !Path::new(PROC).join("self/net/tcp").exists() {
        skipped(story, "this system has no tables of sockets and files below /proc");
        return Ok(());
    }
    let Some(town) = Town::on_shared(story)? else { return Ok(()) };
    let running = town.start_all(Service::ALL).await?;
    let bank = town.surfaces();
    let mut members = BTreeMap::new();
    let names = ["accounts", "transfers", "statements", "the second statements"];
    for ((service, process), name) in Service::ALL.into_iter().zip(&running).zip(names) {
        // Temporary folders may lie behind a link.
        let folder = town.data(service).join(service.program()).canonicalize()?;
        members.insert(name, Member { process: process.id(), folder, port: town.port(service) });
    }
    let mut load = UnderLoad::begin(&bank, 6, 8, 1).await?;
    let broker: u16 = town.broker().rsplit_once(':').context("a port")?.1.parse()?;
    for _ in 0..LOOKS {
        load.works().await?;
        let found = trespasses(&members)?;
        ensure!(found.is_empty(), "{found:#?}");
    }
    // The tables are read as they are: each has its own files open, and talks to the broker.
    for (name, member) in &members {
        let Holdings { files, connections } = holdings(member.process)?;
        ensure!(files.iter().any(|file| file.starts_with(&member.folder)), "{name} has nothing open: {files:#?}");
        ensure!(connections.iter().any(|(_, remote)| *remote == broker), "{name} has no broker: {connections:?}");
    }
    load.ends(&bank).await?;

    // And one who does what nobody may is found: this process, were it a service.
    members.insert(
        "an intruder",
        Member { process: std::process::id(), folder: town.site().folder().join("no"), port: 1 },
    );
    let connection = TcpStream::connect(bank.address(Side::Write))?;
    let file = fs::OpenOptions::new().read(true).open(members["statements"].folder.join("read.db"))?;
    let found = trespasses(&members)?;
    let has = |words: &str| found.iter().any(|line| line.contains(words));
    ensure!(has("an intruder is connected to accounts"), "{found:#?}");
    ensure!(has("read.db of statements open"), "{found:#?}");
    drop((connection, file));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_starts_and_serves_what_it_can_where_the_others_are_deleted() -> anyhow::Result<()> {
    let Some(town) = Town::on_shared("each service alone")? else { return Ok(()) };
    let services = [Service::Accounts, Service::Transfers, Service::Statements];
    let running = town.start_all(services).await?;
    let bank = town.surfaces();
    let (ada, bob) = (open(&bank, "Ada", "EUR").await?, open(&bank, "Bob", "EUR").await?);
    bank.command("deposit-funds", &euros(&ada, "10.00"), &[]).await?.accepted()?;
    let first = bank.command("request-transfer", &transfer(&ada, &bob, "1.00"), &[]).await?.accepted()?;
    ended(&bank, &first).await?;
    let summary = format!("/queries/account-summary?account_id={ada}");
    until(&bank, (Side::Read, &summary), |_, shown| shown["available"] == "9.00").await?;
    for process in running {
        stop(process).await?;
    }

    let accounts = alone(&town, Service::Accounts).await?;
    until(&bank, (Side::Write, "/readyz"), |status, _| status == 200).await?;
    bank.command("deposit-funds", &euros(&ada, "1.00"), &[]).await?.accepted()?;
    relay_of_accounts(&bank, |relay| relay["lag"] == 0).await?;
    stop(accounts).await?;

    let transfers = alone(&town, Service::Transfers).await?;
    until(&bank, (Side::Transfers, "/readyz"), |status, _| status == 200).await?;
    let second = bank.command("request-transfer", &transfer(&ada, &bob, "2.00"), &[]).await?.accepted()?;
    until(&bank, (Side::Transfers, "/admin/relays"), |_, told| {
        let relays = told["relays"].as_array();
        relays.is_some_and(|relays| relays.iter().all(|relay| relay["lag"] == 0))
    })
    .await?;
    stop(transfers).await?;

    // It shows what happened meanwhile, too: that is on the bus.
    let statements = alone(&town, Service::Statements).await?;
    until(&bank, (Side::Read, &summary), |_, shown| shown["balance"] == "10.00").await?;
    let path = format!("/queries/transfer?transfer_id={}", second.field("id"));
    until(&bank, (Side::Read, &path), |_, shown| shown["status"] == "pending").await?;
    stop(statements).await
}

/// Starts a service in a folder that has nothing but a copy of its program and of its own data.
async fn alone(town: &Town, service: Service) -> anyhow::Result<Process> {
    let name = service.program();
    let home = town.site().folder().join(format!("{name}-alone"));
    fs::create_dir(&home)?;
    let program = home.join(name);
    fs::copy(binary(name)?, &program)?;
    fs::create_dir(home.join("data"))?;
    fs::rename(town.data(service).join(name), home.join("data").join(name))?;
    let mut command = Command::new(&program);
    command.current_dir(&home).env_clear();
    command.args(["--kafka", town.broker(), "--kafka-topic-prefix", town.prefix(), "--data", "data"]);
    command.args(["--port", &town.port(service).to_string()]);
    let mut process = Process::start(command, town.site().folder(), &format!("{name}-alone"))?;
    says(&mut process, " listens on ").await?;
    Ok(process)
}

async fn stop(mut process: Process) -> anyhow::Result<()> {
    process.terminate()?;
    let ended = process.end_within(PATIENCE).await?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    Ok(())
}
