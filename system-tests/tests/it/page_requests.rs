//! Runs the requests that a page shows.

use std::{path::Path, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// A page with its ports replaced by these: what it shows, and what stands for it.
pub fn with_ports(text: &str, ports: &[(u16, u16)]) -> String {
    ports.iter().fold(text.to_owned(), |text, (shown, ours)| text.replace(&format!(":{shown}"), &format!(":{ours}")))
}

/// The page's first block for a shell, run by one in this folder; what each request printed.
pub fn run(page: &str, ports: &[(u16, u16)], folder: &Path) -> anyhow::Result<Vec<Value>> {
    let (_, rest) = page.split_once("```sh\n").context("a block of requests")?;
    let (script, _) = rest.split_once("```").context("its end")?;
    let script = with_ports(script, ports);
    let output = Command::new("bash").args(["-e", "-o", "pipefail", "-c", &script]).current_dir(folder).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    documents.collect::<Result<_, _>>().with_context(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
