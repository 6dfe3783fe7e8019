//! The commands `relay` and `bus` of a service's own program, asked of the running one, which has its data locked.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use system_tests::{PortBase, Process, Side, Surfaces, binary};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
const ACCOUNT: &str = "6f1a7c1e-0000-4000-8000-000000000001";
const TOPIC: &str = "bank.accounts.account.events";

fn accounts(port: u16, words: &[&str]) -> anyhow::Result<Output> {
    Ok(Command::new(binary("accounts")?).args(words).args(["--port", &port.to_string()]).output()?)
}

/// What is told of the relay of accounts' events, once it meets a condition.
async fn relay(port: u16, meets: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let begun = Instant::now();
    loop {
        let told = accounts(port, &["relay", "status", "--json"])?;
        let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_default();
        let relays = told["relays"].as_array();
        let relay = relays.and_then(|relays| relays.iter().find(|relay| relay["topic"] == TOPIC));
        if let Some(relay) = relay.filter(|relay| meets(relay)) {
            return Ok(relay.clone());
        }
        ensure!(begun.elapsed() < PATIENCE, "it never comes so far: {told}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn a_relay_is_looked_at_and_let_go_back_while_its_service_runs() -> anyhow::Result<()> {
    let (folder, ports) = (tempfile::tempdir()?, PortBase::take()?);
    let surfaces = Surfaces::above(ports.get());
    let port = surfaces.address(Side::Write).port();
    let nobody = accounts(port, &["relay", "status"])?;
    let told = String::from_utf8(nobody.stderr)?;
    ensure!(!nobody.status.success() && told.contains("is it running there?"), "{told}");

    let mut command = Command::new(binary("accounts")?);
    command.args(["--port", &port.to_string(), "--data"]).arg(folder.path().join("data"));
    let _running = Process::start(command, folder.path(), "accounts")?;
    relay(port, |relay| relay["state"] == "live").await?;
    let account = json!({ "account_id": ACCOUNT, "holder": "Ada", "currency": "EUR" });
    surfaces.command("open-account", &account, &[]).await?.accepted()?;
    relay(port, |relay| relay["lag"] == 0 && relay["sent"] == 1).await?;

    let rewound = accounts(port, &["relay", "rewind", TOPIC, "--to", "0"])?;
    let told = String::from_utf8(rewound.stdout)?;
    ensure!(told.contains("events after 0 is published again"), "{told}");
    relay(port, |relay| relay["lag"] == 0 && relay["resent"] == 1).await?;
    let topics = accounts(port, &["bus", "topics", "--json"])?;
    let topics: Value = serde_json::from_slice(&topics.stdout).context("bus topics")?;
    let topic = &topics["topics"][0];
    ensure!(topic["topic"] == TOPIC && topic["published"] == true && topic["partitions"] == 12, "{topics}");
    ensure!(topic["records"].as_u64() >= Some(2), "{topics}");

    let refused = accounts(port, &["relay", "rewind", TOPIC, "--to", "4711"])?;
    let told = String::from_utf8(refused.stderr)?;
    ensure!(!refused.status.success() && told.contains("refused (invalid)"), "{told}");
    Ok(())
}
