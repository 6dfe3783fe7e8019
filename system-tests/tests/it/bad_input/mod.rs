//! Every bad input, and what it gets: the right status, a problem with a stable code, the field to blame, and words
//! that say what to do. Whatever was sent, afterwards nothing more is recorded than before, the audit is clean, and the
//! process is the same one.

mod disks;
mod documents;
mod headers;
mod peers;
mod queries;
mod starts;

use anyhow::{Context as _, ensure};
use serde_json::json;
use system_tests::{Answer, Bank, Side, Site};

use crate::teller::{audit_is_clean, euros, open, token};

/// No refusal is longer: it may quote what was sent, but not all of it.
const PROBLEM_BYTES_MAX: usize = 4_096;

/// A bank with one account in euros, which holds 100.00, and what it had recorded when the story began.
struct Counter {
    site: Site,
    bank: Bank,
    account: String,
    token: String,
    events_before: usize,
}

/// A request that is refused.
struct Row {
    name: String,
    side: Side,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    refused: Refusal,
}

/// What a refusal says.
#[derive(Clone, Copy)]
struct Refusal {
    status: u16,
    code: &'static str,
    field: Option<&'static str>,
    /// Words of its detail.
    says: &'static str,
}

const fn refusal(status: u16, code: &'static str, field: Option<&'static str>, says: &'static str) -> Refusal {
    Refusal { status, code, field, says }
}

const fn invalid(field: &'static str, says: &'static str) -> Refusal {
    refusal(400, "invalid", Some(field), says)
}

impl Row {
    /// A command with this body.
    fn command(name: impl Into<String>, command: &str, body: impl Into<Vec<u8>>, refused: Refusal) -> Self {
        Self {
            name: name.into(),
            side: Side::Write,
            method: "POST",
            path: format!("/commands/{command}"),
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.into(),
            refused,
        }
    }

    /// A query with these parameters.
    fn query(name: impl Into<String>, query: &str, parameters: &str, refused: Refusal) -> Self {
        Self {
            name: name.into(),
            side: Side::Read,
            method: "GET",
            path: format!("/queries/{query}?{parameters}"),
            headers: Vec::new(),
            body: Vec::new(),
            refused,
        }
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    fn to(mut self, side: Side) -> Self {
        self.side = side;
        self
    }
}

impl Counter {
    async fn open() -> anyhow::Result<Self> {
        let site = Site::new()?;
        let bank = site.start().await?;
        let account = open(bank.surfaces(), "Ann", "EUR").await?;
        let deposited = bank.surfaces().command("deposit-funds", &euros(&account, "100.00"), &[]).await?.accepted()?;
        let events_before = bank.surfaces().events().await?.len();
        Ok(Self { site, bank, account, token: token(&deposited)?, events_before })
    }

    /// Sends every row; fails with all rows that are not answered as they should be.
    async fn refuses(&self, rows: &[Row]) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        for row in rows {
            let headers: Vec<_> = row.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = self.bank.surfaces().send(row.side, row.method, &row.path, row.body.clone(), &headers).await;
            let answer = answer.with_context(|| row.name.clone())?;
            if let Err(error) = is_refused(&answer, row.refused) {
                wrong.push(format!("{}: {error}", row.name));
            }
        }
        ensure!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        Ok(())
    }

    /// Nothing was recorded, nothing is broken, nothing was started again.
    async fn stays_as_it_was(mut self) -> anyhow::Result<()> {
        let events = self.bank.surfaces().events().await?.len();
        ensure!(events == self.events_before, "{} events became {events}", self.events_before);
        self.still_works().await?;
        audit_is_clean(&self.site).await?;
        ensure!(!self.bank.has_ended()?, "the bank ended: {}", self.bank.process().stderr());
        let ended = self.bank.stop().await?;
        ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
        ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        Ok(())
    }

    /// The next good request is answered as ever.
    async fn still_works(&self) -> anyhow::Result<()> {
        let bank = self.bank.surfaces();
        let deposited = bank.command("deposit-funds", &euros(&self.account, "1.00"), &[]).await?.accepted()?;
        let path = format!("/queries/account-summary?account_id={}", self.account);
        let summary = bank.query_when_there(&path, &token(&deposited)?).await?;
        ensure!(summary.json["version"] == deposited.json["version"], "{}", summary.text);
        Ok(())
    }
}

fn is_refused(answer: &Answer, refused: Refusal) -> anyhow::Result<()> {
    let Refusal { status, code, field, says } = refused;
    let shown = answer.text.chars().take(300).collect::<String>();
    ensure!(answer.status == status, "{} instead of {status}: {shown}", answer.status);
    let media_type = answer.header("content-type");
    ensure!(media_type == "application/problem+json", "{media_type}: {shown}");
    ensure!(answer.json["status"] == json!(status), "another status in the document: {shown}");
    ensure!(answer.field("code") == code, "the code is not {code}: {shown}");
    ensure!(answer.json.get("field").and_then(|found| found.as_str()) == field, "the field is not {field:?}: {shown}");
    ensure!(answer.field("detail").contains(says), "it does not say {says:?}: {shown}");
    ensure!(!answer.field("title").is_empty(), "no title: {shown}");
    ensure!(answer.text.len() <= PROBLEM_BYTES_MAX, "{} bytes: {shown}", answer.text.len());
    let wait = answer.header("retry-after");
    ensure!((status == 503) != wait.is_empty(), "retry-after is {wait:?}: {shown}");
    Ok(())
}
