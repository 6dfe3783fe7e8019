//! What the stories say to a bank, in their words.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use system_tests::{Answer, Site, Surfaces};

/// How long an audit may take: it waits up to 30 s for statements to catch up.
const AUDIT_MAX: Duration = Duration::from_secs(120);
/// How long a transfer may take on a busy machine.
const TRANSFER_MAX: Duration = Duration::from_secs(60);

/// Opens an account; answers its id.
pub async fn open(bank: &Surfaces, holder: &str, currency: &str) -> anyhow::Result<String> {
    let body = json!({ "holder": holder, "currency": currency });
    let opened = bank.command("open-account", &body, &[]).await?.accepted()?;
    Ok(opened.field("id").to_owned())
}

/// The body of a deposit or a withdrawal in euros.
pub fn euros(account: &str, amount: &str) -> Value {
    json!({ "account_id": account, "amount": amount, "currency": "EUR" })
}

/// The body of a transfer in euros.
pub fn transfer(from: &str, to: &str, amount: &str) -> Value {
    json!({ "from": from, "to": to, "amount": amount, "currency": "EUR" })
}

/// The transfer once it has ended.
pub async fn ended(bank: &Surfaces, requested: &Answer) -> anyhow::Result<Value> {
    let begun = Instant::now();
    let path = format!("/queries/transfer?transfer_id={}", requested.field("id"));
    loop {
        let shown = bank.query_when_there(&path, &token(requested)?).await?.json;
        if shown["status"] != "pending" {
            return Ok(shown);
        }
        ensure!(begun.elapsed() < TRANSFER_MAX, "still pending after {TRANSFER_MAX:?}: {shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The account's summary, once it shows what `token` stands for.
pub async fn summary(bank: &Surfaces, account: &str, token: &str) -> anyhow::Result<Value> {
    let path = format!("/queries/account-summary?account_id={account}");
    Ok(bank.query_when_there(&path, token).await?.json)
}

/// The token of an accepted command, which body and header agree on.
pub fn token(accepted: &Answer) -> anyhow::Result<String> {
    let token = accepted.field("token");
    ensure!(!token.is_empty(), "no token in {}", accepted.text);
    ensure!(token == accepted.header("factum-token"), "the header says {:?}", accepted.header("factum-token"));
    Ok(token.to_owned())
}

/// Runs the audit; fails with what it found when it is not clean.
pub async fn audit_is_clean(site: &Site) -> anyhow::Result<()> {
    let audit = site.run_tool("audit", &[], AUDIT_MAX).await?;
    ensure!(audit.status.success(), "{}: {}{}", audit.status, audit.stdout, audit.stderr);
    Ok(())
}

/// Runs the audit; answers its report and exit status.
pub async fn audit_report(site: &Site) -> anyhow::Result<(Value, Option<i32>)> {
    let audit = site.run_tool("audit", &["--json"], AUDIT_MAX).await?;
    let report = serde_json::from_str(&audit.stdout).with_context(|| audit.stderr.clone())?;
    Ok((report, audit.status.code()))
}
