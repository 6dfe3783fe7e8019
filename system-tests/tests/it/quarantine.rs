//! `bank quarantine`: somebody who is told of large withdrawals is gone for good, and an operator gets past it.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use serde_json::Value;
use system_tests::{Ended, Process, Site};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::teller;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);
const HANDLER: &str = "reactor/large-withdrawals";

/// Answers 410 to everything.
async fn gone() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                while matches!(peer.read(&mut request).await, Ok(1..)) {
                    let _ =
                        peer.write_all(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
                }
            });
        }
    });
    Ok(address)
}

async fn quarantine(site: &Site, arguments: &[&str]) -> anyhow::Result<Ended> {
    let port_base = site.port_base().to_string();
    let mut all = vec!["quarantine"];
    all.extend(arguments);
    all.extend(["--port-base", &port_base]);
    Process::start(site.command(&all)?, site.folder(), "quarantine")?.end_within(LIMIT).await
}

async fn listed(site: &Site) -> anyhow::Result<Vec<Value>> {
    let ended = quarantine(site, &["list", "--json"]).await?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(serde_json::from_str(&ended.stdout)?)
}

#[tokio::test]
async fn who_is_gone_for_good_is_passed_by_the_command_line() -> anyhow::Result<()> {
    let site = Site::new()?;
    let url = format!("http://{}/told", gone().await?);
    let bank = site.start_with(&["--webhook-url", &url, "--webhook-limit", "100"]).await?;
    let surfaces = bank.surfaces();
    let account = teller::open(surfaces, "Ada", "EUR").await?;
    surfaces.command("deposit-funds", &teller::euros(&account, "1000.00"), &[]).await?.accepted()?;
    for amount in ["200.00", "300.00"] {
        surfaces.command("withdraw-funds", &teller::euros(&account, amount), &[]).await?.accepted()?;
    }
    let asked = std::time::Instant::now();
    let parked = loop {
        match listed(&site).await? {
            keys if keys.first().is_some_and(|key| key["messages"] == 2) => break keys[0].clone(),
            keys => ensure!(asked.elapsed() < LIMIT, "{keys:?}"),
        }
    };
    let key = format!("account-{account}");
    assert_eq!((parked["handler"].as_str(), parked["key"].as_str()), (Some(HANDLER), Some(key.as_str())));
    ensure!(parked["reason"].as_str().is_some_and(|reason| reason.contains("410")), "{parked}");

    let retried = quarantine(&site, &["retry", HANDLER, &key]).await?;
    ensure!(!retried.status.success() && retried.stdout.starts_with("took 0, 2 still parked"), "{}", retried.stdout);
    let every = quarantine(&site, &["retry", HANDLER, "--all", "--json"]).await?;
    let told: Value = serde_json::from_str(&every.stdout)?;
    let counts = ["keys", "done", "left"].map(|name| told[name].as_u64());
    assert_eq!((every.status.success(), counts), (false, [Some(1), Some(0), Some(2)]), "{}", every.stderr);
    assert_eq!(told["failed"][0]["key"], key.as_str());
    let why = "nobody is there any more";
    for left in ["1 still parked", "nothing left"] {
        let first = listed(&site).await?[0]["event_id"].as_str().unwrap_or_default().to_owned();
        let discarded = quarantine(&site, &["discard", HANDLER, &key, "--event", &first, "--reason", why]).await?;
        ensure!(
            discarded.status.success() && discarded.stdout.contains(left),
            "{}{}",
            discarded.stdout,
            discarded.stderr
        );
    }
    assert!(listed(&site).await?.is_empty());
    let every = quarantine(&site, &["retry", HANDLER, "--all"]).await?;
    ensure!(every.status.success() && every.stdout.starts_with("nothing is quarantined"), "{}", every.stdout);
    let unknown = quarantine(&site, &["retry", "reactor/mails", &key]).await?;
    ensure!(
        !unknown.status.success() && unknown.stderr.contains("no handler `reactor/mails` parks"),
        "{}",
        unknown.stderr
    );
    teller::audit_is_clean(&site).await?;
    bank.stop().await?;
    Ok(())
}
