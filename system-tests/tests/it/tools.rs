//! The bank's tools at a terminal: they follow, they stop on Ctrl-C, and they do not mind a reader that goes away.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use system_tests::{Process, Site};

use crate::teller::{audit_is_clean, open};

/// How long a tool may take to show or do what is expected, on a busy machine.
const TOOL_MAX: Duration = Duration::from_secs(60);
/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(10);

/// Waits until the tool has written `lines` lines.
async fn has_written(tool: &Process, lines: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    while tool.stdout().lines().count() < lines {
        ensure!(begun.elapsed() < TOOL_MAX, "only {:?}, and {}", tool.stdout(), tool.stderr());
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

#[tokio::test]
async fn events_shows_what_happened_and_follows() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let ann = open(bank.surfaces(), "Ann", "EUR").await?;

    let events = site.run_tool("events", &[], TOOL_MAX).await?;
    ensure!(events.status.success(), "{}", events.stderr);
    assert!(events.stdout.contains(&format!("account-{ann}  v1")), "{}", events.stdout);
    assert!(events.stdout.contains("account.opened"), "{}", events.stdout);

    let mut following = site.start_tool("events", &["--follow", "--json", "--after", "1"])?;
    let ben = open(bank.surfaces(), "Ben", "EUR").await?;
    has_written(&following, 1).await?;
    let line: Value = serde_json::from_str(following.stdout().trim())?;
    assert_eq!((&line["stream"], &line["position"]), (&Value::from(format!("account-{ben}")), &Value::from(2)));
    following.interrupt()?;
    following.end_within(TOOL_MAX).await?;
    Ok(())
}

#[tokio::test]
async fn events_ends_quietly_when_its_reader_goes_away() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    open(bank.surfaces(), "Ann", "EUR").await?;
    let port_base = site.port_base().to_string();
    let mut command = site.command(&["events", "--follow", "--port-base", &port_base])?;
    let mut events = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;

    let mut reader = BufReader::new(events.stdout.take().context("a pipe")?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    drop(reader);
    open(bank.surfaces(), "Ben", "EUR").await?;

    let begun = Instant::now();
    let status = loop {
        if let Some(status) = events.try_wait()? {
            break status;
        }
        if begun.elapsed() > TOOL_MAX {
            events.kill()?;
        }
        tokio::time::sleep(POLL).await;
    };
    let mut said = String::new();
    BufReader::new(events.stderr.take().context("a pipe")?).read_line(&mut said)?;
    assert!(line.contains("account.opened"), "{line}");
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    Ok(())
}

#[tokio::test]
async fn ctrl_c_ends_a_load_after_what_is_under_way() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let options = ["--accounts", "5", "--operations", "1000000", "--concurrency", "8", "--json"];
    let mut load = site.start_tool("load", &options)?;
    let begun = Instant::now();
    while bank.surfaces().events().await?.len() < 20 {
        ensure!(begun.elapsed() < TOOL_MAX, "no load: {}", load.stderr());
        tokio::time::sleep(POLL).await;
    }

    load.interrupt()?;
    let ended = load.end_within(TOOL_MAX).await?;

    assert_eq!(ended.status.code(), Some(130), "{}", ended.stderr);
    assert!(!ended.stderr.contains("moving money"), "no progress line where there is no terminal: {}", ended.stderr);
    let result: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(result["audit"], Value::Null, "it was stopped, so it is not audited");
    let operations = &result["operations"];
    assert_eq!((&operations["failed"], &operations["unread"]), (&Value::from(0), &Value::from(0)), "{operations}");
    let accepted = operations["accepted"].as_u64().context("a count")?;
    assert_eq!(bank.surfaces().events().await?.len() as u64, 5 + accepted, "everything begun was answered");
    audit_is_clean(&site).await
}

#[tokio::test]
async fn a_tool_without_a_bank_says_so_in_one_line() -> anyhow::Result<()> {
    let site = Site::new()?;
    // Each with the service it asks first.
    for (tool, service) in [("load", 1), ("audit", 2), ("events", 1)] {
        let ended = site.run_tool(tool, &[], TOOL_MAX).await?;
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        let surface = format!("no answer from 127.0.0.1:{}: Connection refused", site.port_base() + service);
        assert!(ended.stderr.contains(&surface), "{}", ended.stderr);
    }
    Ok(())
}
