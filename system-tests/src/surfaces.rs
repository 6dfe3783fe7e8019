//! The bank's surfaces, as an HTTP client sees them: every request is sent once, every status is an answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::process::POLL;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the statements may need to show an accepted command.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);
/// The page of events that is asked for.
const EVENTS_PAGE: usize = 1_000;
/// The accounts service's port above the base.
const ACCOUNTS: u16 = 1;
/// The transfers service's port above the base.
const TRANSFERS: u16 = 2;
/// The statements service's port above the base.
const STATEMENTS: u16 = 3;

/// Which surface a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Commands: accounts.
    Write,
    /// Commands: transfers.
    Transfers,
    /// Queries: statements.
    Read,
}

impl Side {
    /// Every surface.
    pub const ALL: [Self; 3] = [Self::Write, Self::Transfers, Self::Read];

    const fn port(self) -> u16 {
        match self {
            Self::Write => ACCOUNTS,
            Self::Transfers => TRANSFERS,
            Self::Read => STATEMENTS,
        }
    }
}

/// Connections to the surfaces of one bank; clones share them.
#[derive(Debug, Clone)]
pub struct Surfaces {
    http: Client<HttpConnector, Full<Bytes>>,
    port_base: u16,
}

/// An answer with its whole body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body; null when it is no JSON.
    pub json: Value,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The string field of a JSON body, or of a problem.
    pub fn field(&self, name: &str) -> &str {
        self.json.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The answer, when its status is 200.
    ///
    /// # Errors
    /// When it is another.
    pub fn accepted(self) -> anyhow::Result<Self> {
        ensure!(self.status == 200, "answered {} {}", self.status, self.text);
        Ok(self)
    }
}

impl Surfaces {
    /// The surfaces above `port_base` on this machine.
    pub fn above(port_base: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { http: Client::builder(TokioExecutor::new()).build(connector), port_base }
    }

    /// Sends a command to who decides about it: accounts, or transfers.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn command(&self, name: &str, body: &Value, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let headers = [&[("content-type", "application/json")], headers].concat();
        let side = if name == "request-transfer" { Side::Transfers } else { Side::Write };
        self.send(side, "POST", &format!("/commands/{name}"), body.to_string().into_bytes(), &headers).await
    }

    /// Asks statements.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn query(&self, path_and_query: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.send(Side::Read, "GET", path_and_query, Vec::new(), headers).await
    }

    /// Where a surface listens.
    pub fn address(&self, side: Side) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port_base + side.port()))
    }

    /// Asks statements until it shows what `token` stands for: a service that just started, or restores what it
    /// shows, says 503.
    ///
    /// # Errors
    /// When it does not show it in time, or answers with something else.
    pub async fn query_when_there(&self, path_and_query: &str, token: &str) -> anyhow::Result<Answer> {
        let begun = Instant::now();
        loop {
            let answer = self.query(path_and_query, &[("factum-at-least", token)]).await?;
            if answer.status != 503 || begun.elapsed() > CATCH_UP_MAX {
                return answer.accepted();
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Every event of accounts, page by page.
    ///
    /// # Errors
    /// When there is no answer, or it is no page of events.
    pub async fn events(&self) -> anyhow::Result<Vec<Value>> {
        self.events_of(Side::Write).await
    }

    /// Every event of the service behind a surface for commands, page by page.
    ///
    /// # Errors
    /// As [`Surfaces::events`].
    pub async fn events_of(&self, side: Side) -> anyhow::Result<Vec<Value>> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event["position"].as_u64().unwrap_or_default());
            let path = format!("/admin/events?after={after}&limit={EVENTS_PAGE}");
            let page = self.send(side, "GET", &path, Vec::new(), &[]).await?.accepted()?;
            if page.text.is_empty() {
                return Ok(events);
            }
            for line in page.text.lines() {
                events.push(serde_json::from_str(line).with_context(|| format!("an event: {line}"))?);
            }
        }
    }

    /// All lines of an account's statement, page by page, once it shows what `token` stands for.
    ///
    /// # Errors
    /// When there is no answer, or it is no page of lines.
    pub async fn statement(&self, account: &str, token: &str) -> anyhow::Result<Vec<Value>> {
        let mut lines = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/queries/statement?account_id={account}&limit=100{cursor}");
            let page = self.query_when_there(&path, token).await?;
            lines.extend(page.json["lines"].as_array().context("lines")?.iter().cloned());
            match page.json["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(lines),
            }
        }
    }

    /// Whether every surface answers 200 on `/readyz`.
    pub async fn are_ready(&self) -> bool {
        for side in Side::ALL {
            match self.send(side, "GET", "/readyz", Vec::new(), &[]).await {
                Ok(answer) if answer.status == 200 => {}
                _ => return false,
            }
        }
        true
    }

    /// Sends any request, with these headers and what HTTP itself needs.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(
        &self,
        side: Side,
        method: &str,
        path_and_query: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let at = self.address(side);
        let mut request = Request::builder().method(method).uri(format!("http://{at}{path_and_query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            let (parts, body) = self.http.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            let json = serde_json::from_str(&text).unwrap_or_default();
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, json, text })
        };
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await;
        answered.with_context(|| format!("{path_and_query} was not answered within {ANSWER_TIMEOUT:?}"))?
    }
}
