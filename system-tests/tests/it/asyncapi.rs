//! `contract/asyncapi.yaml` of every service, read by the AsyncAPI project's own parser.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use local_services::{home, lacking};
use system_tests::Process;

const STORY: &str = "the_asyncapi_projects_parser_reads_every_contract";
/// What the parser is installed from.
const PARTS: [&str; 3] = ["package.json", "package-lock.json", "check.mjs"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// How long the parser may take to be installed, once.
const INSTALL_MAX: Duration = Duration::from_secs(180);
/// In which npm says why it failed; it goes on with where in its code that was.
const CAUSE_LINES_MAX: usize = 4;
/// So that a registry that is away is no longer waited for than it takes to say so: requests of at most 20 s, tried twice.
const PATIENCE: [&str; 6] = ["--fetch-timeout", "20000", "--fetch-retries", "1", "--fetch-retry-mintimeout", "1000"];

/// The folder of the parser, installed once; `None`: it cannot be, and the story is skipped.
async fn parser() -> anyhow::Result<Option<PathBuf>> {
    let (tools, folder) = (repository().join("tools/asyncapi"), home()?.join("asyncapi"));
    fs::create_dir_all(&folder)?;
    let lock = fs::OpenOptions::new().create(true).append(true).open(folder.with_extension("lock"))?;
    lock.lock()?;
    for part in PARTS {
        fs::copy(tools.join(part), folder.join(part))?;
    }
    let (wanted, installed) = (fs::read(tools.join("package-lock.json"))?, folder.join("installed"));
    if fs::read(&installed).is_ok_and(|is| is == wanted) {
        return Ok(Some(folder));
    }
    // Nothing that is fetched runs before it is asked to.
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
    let mut npm = Command::new("npm");
    npm.args(install).args(PATIENCE).current_dir(&folder);
    let why = match Process::start(npm, &folder, "npm") {
        Err(error) => Some(format!("npm cannot be started, install Node: {error:#}")),
        Ok(npm) => {
            let ended = npm.end_within(INSTALL_MAX).await?;
            let cause: Vec<&str> = ended.stderr.lines().take(CAUSE_LINES_MAX).collect();
            (!ended.status.success()).then(|| format!("npm, {}: {}", ended.status, cause.join("\n")))
        }
    };
    if let Some(why) = why {
        return Ok(lacking(STORY, &format!("the AsyncAPI project's parser cannot be installed: {why}")));
    }
    fs::write(installed, wanted)?;
    Ok(Some(folder))
}

fn judge(parser: &Path, documents: &[PathBuf]) -> anyhow::Result<(bool, String)> {
    let judged = Command::new("node").arg("check.mjs").args(documents).current_dir(parser).output().context("node")?;
    let said = [judged.stdout, judged.stderr].concat();
    Ok((judged.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[tokio::test]
async fn the_asyncapi_projects_parser_reads_every_contract() -> anyhow::Result<()> {
    let Some(parser) = parser().await? else { return Ok(()) };
    let services = repository().join("services").canonicalize()?;
    let contracts = ["accounts", "transfers"].map(|service| services.join(service).join("contract"));
    let documents = contracts.each_ref().map(|contract| contract.join("asyncapi.yaml"));
    let (passed, said) = judge(&parser, &documents)?;
    ensure!(passed, "{said}");
    ensure!(said.contains("3 channels, 15 messages") && said.contains("1 channels, 4 messages"), "{said}");

    // It is seen to find something: a message that is nowhere.
    let broken = tempfile::tempdir()?;
    let document = fs::read_to_string(&documents[1])?;
    let reference = "#/components/messages/bank.transfers.transfer-completed.v1";
    ensure!(document.contains(reference), "{document}");
    let copy = broken.path().join("asyncapi.yaml");
    fs::write(&copy, document.replace(reference, "#/components/messages/nowhere"))?;
    // Its schemas are beside the other one only: that is found, too.
    let (passed, said) = judge(&parser, &[copy])?;
    ensure!(!passed && said.contains("nowhere"), "{said}");
    Ok(())
}
