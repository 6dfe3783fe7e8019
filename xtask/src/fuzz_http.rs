//! A schema-driven fuzzer against both surfaces of a bank of its own: whatever the OpenAPI documents lead to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use local_services::PortBase;

use crate::{
    ci::{cargo, finish, target_folder},
    surface::is_ready,
};

/// The surfaces: what they are, their ports above the base, and what they are spared. On the read surface cursors and
/// tokens are opaque: no schema tells those that were given out from others, so that what it allows may be refused.
const SURFACES: [(&str, u16, &[&str]); 3] =
    [("write", 1, &[]), ("transfers", 2, &[]), ("read", 3, &["--exclude-checks", "positive_data_acceptance"])];
/// How long the bank may take until every surface is ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// A bank on data and ports of its own; killed when dropped.
struct Bank {
    process: Child,
    binary: PathBuf,
    ports: PortBase,
}

impl Drop for Bank {
    fn drop(&mut self) {
        // It may have ended already, which the run has noticed before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Fuzzes each surface for so many minutes, and audits the bank after it. What it fails by: a status of 5xx but 503, an
/// answer after more than 15 seconds or of a status, header, media type or shape that is not in the document, a request
/// taken that the document forbids, a command refused as invalid that it allows.
///
/// # Errors
/// When there is a finding, or something is not there that it needs.
pub fn fuzz_http(root: &Path, minutes: u64, seed: u64) -> anyhow::Result<()> {
    cargo(root, &["build", "--package", "bank"])?;
    let target = target_folder(root)?;
    let tools = root.join("tools/openapi");
    let python = install(&tools, &target.join("python/fuzzer"))?;
    let folder = target.join("fuzz-http");
    fs::create_dir_all(&folder)?;
    let mut bank = start(&target.join("debug/bank"), &folder)?;
    let mut failed = Vec::new();
    for (surface, port, spared) in SURFACES {
        println!("==> fuzzing the {surface} surface for {minutes} minutes with seed {seed}");
        let document = format!("http://127.0.0.1:{}/openapi.json", bank.ports.get() + port);
        let mut fuzzer = Command::new(&python);
        // Of live queries, which have no end, it sees the first event.
        fuzzer.env("PYTHONPATH", &tools).env("PYTHONDONTWRITEBYTECODE", "1").env("SCHEMATHESIS_HOOKS", "live");
        fuzzer.current_dir(&folder).args(["-m", "schemathesis.cli", "--config-file"]);
        fuzzer.arg(tools.join("schemathesis.toml")).args(["run", &document]).args(spared);
        fuzzer.args(["--seed", &seed.to_string(), "--max-time", &(minutes * 60).to_string()]);
        if let Err(error) = finish(&mut fuzzer) {
            failed.push(format!("{surface}: {error:#}"));
        }
        ensure!(bank.process.try_wait()?.is_none(), "the bank has ended: see bank.log in {}", folder.display());
    }
    let port_base = bank.ports.get().to_string();
    finish(Command::new(&bank.binary).args(["audit", "--port-base", &port_base])).context("the audit after it")?;
    if failed.is_empty() { Ok(()) } else { bail!("findings with seed {seed}: {}", failed.join("; ")) }
}

fn install(tools: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let mut install = Command::new("python3");
    install.arg(tools.join("../python/install.py")).arg(tools.join("fuzzer.txt")).arg(folder);
    let output = install.stderr(Stdio::inherit()).output().context("starting python3")?;
    ensure!(output.status.success(), "the fuzzer cannot be installed");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

fn start(binary: &Path, folder: &Path) -> anyhow::Result<Bank> {
    let data = folder.join("data");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    let log = folder.join("bank.log");
    fs::write(&log, "")?;
    let said = || fs::OpenOptions::new().append(true).open(&log);
    let ports = PortBase::take()?;
    let port_base = ports.get();
    let mut command = Command::new(binary);
    command.args(["--port-base", &port_base.to_string()]).arg("--data").arg(&data).current_dir(folder);
    let process = command.stdin(Stdio::null()).stdout(said()?).stderr(said()?).spawn().context("starting the bank")?;
    let mut bank = Bank { process, binary: binary.to_owned(), ports };
    let begun = Instant::now();
    while !SURFACES.iter().all(|(_, port, _)| is_ready(port_base + port)) {
        let ended = bank.process.try_wait()?.is_some();
        ensure!(!ended && begun.elapsed() < READY_MAX, "the bank does not get ready: {}", fs::read_to_string(&log)?);
        thread::sleep(Duration::from_millis(20));
    }
    Ok(bank)
}
