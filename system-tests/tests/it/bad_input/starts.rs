//! What a program is started with, and finds: it refuses with one readable line and exit status 1, or it starts.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use system_tests::{Ended, PortBase, Process, Side, Surfaces, binary, skipped};
use tokio::time::sleep;

use crate::teller::{euros, open, transfer};

/// How long a refusal, a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// One of the programs that serve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    port_option: &'static str,
    /// The port to name, above the base.
    port: u16,
    /// A port it listens on, above the base.
    listens: u16,
    /// A folder whose store it opens, below its data.
    store: &'static str,
    sides: &'static [Side],
}

/// All of them.
pub(super) const PROGRAMS: [Program; 4] = [
    Program {
        name: "bank",
        port_option: "--port-base",
        port: 0,
        listens: 3,
        store: "accounts/events",
        sides: &Side::ALL,
    },
    Program {
        name: "accounts",
        port_option: "--port",
        port: 1,
        listens: 1,
        store: "accounts/events",
        sides: &[Side::Write],
    },
    Program {
        name: "transfers",
        port_option: "--port",
        port: 2,
        listens: 2,
        store: "transfers/events",
        sides: &[Side::Transfers],
    },
    Program {
        name: "statements",
        port_option: "--port",
        port: 3,
        listens: 3,
        store: "statements/bus",
        sides: &[Side::Read],
    },
];

impl Program {
    /// The arguments that give it a port above the base and a data folder.
    pub(super) fn arguments(self, ports: &PortBase, data: &Path) -> Vec<String> {
        let port = (ports.get() + self.port).to_string();
        vec![self.port_option.to_owned(), port, "--data".to_owned(), data.display().to_string()]
    }

    fn command(self, folder: &Path, arguments: &[String]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary(self.name)?);
        command.current_dir(folder).args(arguments);
        Ok(without_settings(command))
    }

    /// What it says when it does not start.
    async fn refused(self, folder: &Path, arguments: &[String]) -> anyhow::Result<Ended> {
        refused(self.command(folder, arguments)?, folder).await
    }

    /// Runs until it is ready, does something with it, and stops it.
    async fn runs(self, folder: &Path, ports: &PortBase, data: &Path) -> anyhow::Result<Process> {
        let mut process = Process::start(self.command(folder, &self.arguments(ports, data))?, folder, self.name)?;
        is_ready(&mut process, &Surfaces::above(ports.get()), self.sides).await?;
        Ok(process)
    }
}

/// Waits until these surfaces are ready.
pub(super) async fn is_ready(process: &mut Process, surfaces: &Surfaces, sides: &[Side]) -> anyhow::Result<()> {
    let begun = Instant::now();
    for side in sides {
        while !surfaces.send(*side, "GET", "/readyz", Vec::new(), &[]).await.is_ok_and(|answer| answer.status == 200) {
            ensure!(!process.has_ended()?, "it ended: {}", process.stderr());
            ensure!(begun.elapsed() < PATIENCE, "not ready within {PATIENCE:?}: {}", process.stderr());
            sleep(POLL).await;
        }
    }
    Ok(())
}

/// A command without what the environment may say to our programs.
pub(super) fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if ["BANK_", "ACCOUNTS_", "TRANSFERS_", "STATEMENTS_"]
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}

pub(super) async fn refused(command: Command, folder: &Path) -> anyhow::Result<Ended> {
    Process::start(command, folder, "refused")?.end_within(PATIENCE).await
}

/// Exit status 1, nothing on standard output, and one line: the program's name, and these words.
pub(super) fn is_one_line(program: &str, ended: &Ended, words: &[&str]) -> anyhow::Result<()> {
    let line = ended.stderr.trim_end();
    ensure!(ended.status.code() == Some(1), "{}: {line}", ended.status);
    ensure!(line.lines().count() == 1, "not one line: {line}");
    ensure!(line.starts_with(&format!("{program}: ")), "whose line is it: {line}");
    ensure!(ended.stdout.is_empty(), "{}", ended.stdout);
    for words in words {
        ensure!(line.contains(words), "it does not say {words:?}: {line}");
    }
    Ok(())
}

/// Something an operator gets wrong: arguments behind the good ones, and what the line must say.
const WRONG_OPTIONS: [(&[&str], &[&str]); 9] = [
    (&["--durability", "none"], &["'--durability'", "--help"]),
    (&["--dat", "x"], &["'--dat'", "'--data'"]),
    (&["--listen", "everywhere"], &["everywhere", "--listen"]),
    (&["--listen", "192.0.2.1"], &["cannot listen on 192.0.2.1:"]),
    (&["--log-level", "inof"], &["`inof`", "neither a level nor a filter"]),
    (&["--log-level", "factum=loud"], &["factum=loud"]),
    (&["--log-format", "xml"], &["xml", "text, json"]),
    (&["--config", "no-such-file.toml"], &["no-such-file.toml", "No such file"]),
    (&["--config", "misspelt.toml"], &["misspelt.toml, line 2", "colour"]),
];

#[tokio::test]
async fn a_wrong_option_is_named_in_one_line() -> anyhow::Result<()> {
    for program in PROGRAMS {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let data = folder.path().join("data");
        fs::write(folder.path().join("misspelt.toml"), "data = \"data\"\ncolour = \"red\"\n")?;
        for (wrong, words) in WRONG_OPTIONS {
            let mut arguments = program.arguments(&ports, &data);
            arguments.extend(wrong.iter().map(ToString::to_string));
            let ended = program.refused(folder.path(), &arguments).await?;
            is_one_line(program.name, &ended, words).with_context(|| format!("{} {wrong:?}", program.name))?;
        }
        for port in ["banana", "70000", "-1"] {
            let ended = program.refused(folder.path(), &[format!("{}={port}", program.port_option)]).await?;
            is_one_line(program.name, &ended, &[port, program.port_option]).context(port)?;
        }
        ensure!(!data.exists(), "{} left traces", program.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_and_leaves_no_traces() -> anyhow::Result<()> {
    for program in PROGRAMS {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let data = folder.path().join("data");
        let port = ports.get() + program.listens;
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let ended = program.refused(folder.path(), &program.arguments(&ports, &data)).await?;
        let told = format!("port {port} is in use: stop what uses it, or choose another");
        is_one_line(program.name, &ended, &[&told]).context(program.name)?;
        ensure!(!data.exists(), "{} left traces", program.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_data_folder_has_one_process() -> anyhow::Result<()> {
    for program in PROGRAMS {
        let (folder, ports, others) = (tempfile::tempdir()?, PortBase::take()?, PortBase::take()?);
        let data = folder.path().join("data");
        let first = program.runs(folder.path(), &ports, &data).await?;
        let ended = program.refused(folder.path(), &program.arguments(&others, &data)).await?;
        let told = "it is open in another process: stop that one, or name another folder";
        is_one_line(program.name, &ended, &[&data.display().to_string(), told]).context(program.name)?;
        let surfaces = Surfaces::above(ports.get());
        for side in program.sides {
            let ready = surfaces.send(*side, "GET", "/readyz", Vec::new(), &[]).await?;
            ensure!(ready.status == 200, "the first is disturbed: {}", ready.text);
        }
        ended_cleanly(first).await?;
    }
    Ok(())
}

async fn ended_cleanly(mut process: Process) -> anyhow::Result<()> {
    process.terminate()?;
    let ended = process.end_within(PATIENCE).await?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    Ok(())
}

#[tokio::test]
async fn a_path_that_is_no_folder_is_named() -> anyhow::Result<()> {
    for program in PROGRAMS {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let file = folder.path().join("file");
        fs::write(&file, "somebody's")?;
        let ended = program.refused(folder.path(), &program.arguments(&ports, &file)).await?;
        let told = "a file is in the way: name another folder";
        is_one_line(program.name, &ended, &[&file.display().to_string(), told]).context(program.name)?;
        ensure!(fs::read_to_string(&file)? == "somebody's", "the file was changed");
    }
    Ok(())
}

/// Changes a file in place.
fn patch(path: &Path, at: u64, change: impl FnOnce(&mut [u8; 4])) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = [0; 4];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    change(&mut bytes);
    file.seek(SeekFrom::Start(at))?;
    Ok(file.write_all(&bytes)?)
}

/// Where every file of the store says its format.
const FORMAT_AT: u64 = 8;
/// Behind the header of a small file.
const IN_BODY: u64 = 30;
/// Behind the header of a segment, and inside its first group.
const IN_FIRST_GROUP: u64 = 4_096 + 100;

/// Starts and stops the program, so that there is data; those that take commands record something.
async fn with_data(program: Program, folder: &Path, ports: &PortBase) -> anyhow::Result<PathBuf> {
    let data = folder.join("data");
    let running = program.runs(folder, ports, &data).await?;
    if program.sides.contains(&Side::Write) {
        let surfaces = Surfaces::above(ports.get());
        let account = open(&surfaces, "Ann", "EUR").await?;
        surfaces.command("deposit-funds", &euros(&account, "1.00"), &[]).await?.accepted()?;
    }
    if program.sides.contains(&Side::Transfers) {
        let (from, to) = ("6f1a7c1e-0000-4000-8000-000000000001", "6f1a7c1e-0000-4000-8000-000000000002");
        let surfaces = Surfaces::above(ports.get());
        surfaces.command("request-transfer", &transfer(from, to, "1.00"), &[]).await?.accepted()?;
    }
    ended_cleanly(running).await?;
    Ok(data)
}

#[tokio::test]
async fn a_folder_of_a_newer_format_is_refused_and_left_as_it_is() -> anyhow::Result<()> {
    for program in PROGRAMS {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let data = with_data(program, folder.path(), &ports).await?;
        let identity = data.join(program.store).join("identity");
        patch(&identity, FORMAT_AT, |format| *format = 99_u32.to_le_bytes())?;
        let before = fs::read(&identity)?;
        let ended = program.refused(folder.path(), &program.arguments(&ports, &data)).await?;
        let place = data.join(program.store).display().to_string();
        is_one_line(program.name, &ended, &[&place, "it has format 99", "use the newer program"])
            .context(program.name)?;
        ensure!(fs::read(&identity)? == before, "{} changed it", program.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_segment_is_refused_with_its_place() -> anyhow::Result<()> {
    let [bank, accounts, transfers, _] = PROGRAMS;
    for (program, store, remedy) in [
        (bank, "accounts/events", "restore a backup"),
        (accounts, "accounts/events", "restore a backup"),
        (bank, "transfers/events", "restore a backup"),
        (transfers, "transfers/events", "restore a backup"),
        (bank, "bus", "delete the folder, it is filled again"),
        (accounts, "accounts/bus", "delete the folder, it is filled again"),
    ] {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let data = with_data(program, folder.path(), &ports).await?;
        let segment = data.join(store).join("segment-00000001.log");
        patch(&segment, IN_FIRST_GROUP, |bytes| bytes[0] ^= 1)?;
        let ended = program.refused(folder.path(), &program.arguments(&ports, &data)).await?;
        let place = data.join(store).display().to_string();
        is_one_line(program.name, &ended, &[&place, "segment-00000001.log at offset 4160, position 1", remedy])
            .context(program.name)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_bus_folder_may_be_deleted_as_it_says() -> anyhow::Result<()> {
    let [bank, _, _, statements] = PROGRAMS;
    for (program, bus) in [(bank, "bus"), (statements, "statements/bus")] {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let data = with_data(program, folder.path(), &ports).await?;
        patch(&data.join(bus).join("identity"), IN_BODY, |bytes| bytes[0] ^= 1)?;
        let ended = program.refused(folder.path(), &program.arguments(&ports, &data)).await?;
        let place = data.join(bus).display().to_string();
        is_one_line(program.name, &ended, &[&place, "delete the folder, it is filled again"]).context(program.name)?;
        fs::remove_dir_all(data.join(bus))?;
        ended_cleanly(program.runs(folder.path(), &ports, &data).await?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_read_database_of_a_newer_format_is_named_and_garbage_is_put_aside() -> anyhow::Result<()> {
    let [bank, _, _, statements] = PROGRAMS;
    for program in [bank, statements] {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let data = with_data(program, folder.path(), &ports).await?;
        let path = data.join("statements/read.db");
        let shown = path.display().to_string();
        rusqlite::Connection::open(&path)?.execute("UPDATE factum_meta SET value = '99' WHERE name = 'format'", [])?;
        let ended = program.refused(folder.path(), &program.arguments(&ports, &data)).await?;
        is_one_line(program.name, &ended, &[&shown, "has format 99", "use the newer program, or delete the file"])
            .context(program.name)?;
        fs::write(&path, "no database")?;
        ended_cleanly(program.runs(folder.path(), &ports, &data).await?).await?;
        let aside = data.join("statements/read.db.damaged-1");
        anyhow::ensure!(fs::read(&aside)? == b"no database", "{} is not what was put aside", aside.display());
        anyhow::ensure!(fs::read(&path)?.starts_with(b"SQLite format 3"), "{shown} is no new database");
    }
    Ok(())
}

/// A user who owns nothing here.
const NOBODY: &str = "65534";

#[tokio::test]
async fn a_folder_without_permission_is_named() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for program in PROGRAMS {
        let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
        let shut = folder.path().join("shut");
        fs::create_dir(&shut)?;
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o555))?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let arguments = program.arguments(&ports, &shut.join("data"));
        let mut command = program.command(folder.path(), &arguments)?;
        // Who may everything is not stopped by a mode.
        if fs::write(shut.join("probe"), "").is_ok() {
            let binary = binary(program.name)?;
            command = Command::new("setpriv");
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(&binary).args(&arguments);
            command = without_settings(command);
            command.current_dir("/");
            if !runs_as_nobody(&binary)? {
                skipped("a folder without permission", &format!("{} cannot be run as another user", program.name));
                continue;
            }
        }
        let ended = refused(command, folder.path()).await?;
        is_one_line(program.name, &ended, &["not permitted: let this user write there"]).context(program.name)?;
    }
    Ok(())
}

fn runs_as_nobody(binary: &Path) -> anyhow::Result<bool> {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(binary)
        .arg("--version")
        .current_dir("/");
    match command.output() {
        Ok(output) => Ok(output.status.success()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => bail!("setpriv: {error}"),
    }
}
