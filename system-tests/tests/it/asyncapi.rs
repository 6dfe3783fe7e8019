//! `contract/asyncapi.yaml` of every service, read by the AsyncAPI project's own parser.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, ensure};
use local_services::{home, lacking};

const STORY: &str = "the_asyncapi_projects_parser_reads_every_contract";
/// What the parser is installed from.
const PARTS: [&str; 3] = ["package.json", "package-lock.json", "check.mjs"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of the parser, installed once; `None`: it cannot be, and the story is skipped.
fn parser() -> anyhow::Result<Option<PathBuf>> {
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
    match Command::new("npm").args(install).current_dir(&folder).output() {
        Ok(Output { status, .. }) if status.success() => {}
        Ok(failed) => return Ok(lacking(STORY, &String::from_utf8_lossy(&failed.stderr))),
        Err(error) => return Ok(lacking(STORY, &format!("npm: {error}"))),
    }
    fs::write(installed, wanted)?;
    Ok(Some(folder))
}

fn judge(parser: &Path, documents: &[PathBuf]) -> anyhow::Result<(bool, String)> {
    let judged = Command::new("node").arg("check.mjs").args(documents).current_dir(parser).output().context("node")?;
    let said = [judged.stdout, judged.stderr].concat();
    Ok((judged.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn the_asyncapi_projects_parser_reads_every_contract() -> anyhow::Result<()> {
    let Some(parser) = parser()? else { return Ok(()) };
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
