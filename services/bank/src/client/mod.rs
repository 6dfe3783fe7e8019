//! An HTTP/1.1 client for a running bank: what `load`, `audit`, `events` and the tools for operators speak through.
//!
//! It knows where the surfaces listen, sends commands and queries, reads problems, and repeats only what cannot do
//! harm twice: a query, or a command that carries an `Idempotency-Key`, and then always with the same key.

mod address;
mod answer;
mod error;
#[cfg(test)]
pub mod fake;
mod operators;
#[cfg(test)]
mod tests;

pub use address::{BankAddress, Service};
use answer::ReadModels;
pub use answer::{
    AccountsPage, DayOfTotals, Generation, LoggedEvent, ReadModel, Readiness, Receipt, Statement, StatementLine,
    Summary, TransferStatus,
};
pub use error::{ClientError, Problem};
pub use operators::{
    AcceptedFork, Acknowledged, DeadLetter, DeadLetters, Fork, Handled, ParkedKey, ParkedMessages, RetriedKey,
    RetriedKeys,
};

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH, RETRY_AFTER};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long a connection may take; the bank is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one answer may take with its body; a query may itself wait 5 s for a token.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an unused connection is kept.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest body that is read: a page of 1,000 events stays far below it.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most attempts at one request.
const ATTEMPTS_MAX: u32 = 8;
/// The pause before the second attempt; it doubles after each.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(25);
/// The longest pause between attempts, whatever `Retry-After` asks for.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// The most events the admin surface gives in one page.
pub const EVENTS_PAGE_MAX: u32 = 1_000;
/// The most accounts a page has.
pub const ACCOUNTS_PAGE_MAX: u32 = 500;
/// The most lines a statement page has.
pub const STATEMENT_PAGE_MAX: u32 = 500;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FACTUM_AT_LEAST: HeaderName = HeaderName::from_static("factum-at-least");

/// A command as it goes over the wire.
pub struct CommandRequest<'a> {
    /// Who decides about it.
    pub to: Log,
    /// The command's name in kebab-case: `deposit-funds`.
    pub name: &'a str,
    /// The JSON body.
    pub body: &'a Value,
    /// 1–255 visible ASCII characters; without one the request is sent exactly once.
    pub idempotency_key: Option<&'a str>,
    /// The version the stream must be at.
    pub if_match: Option<u64>,
}

/// A service that takes commands, and so has a log of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Log {
    /// What happened to accounts.
    Accounts,
    /// What happened to transfers.
    Transfers,
}

/// Where a bank's surfaces listen.
#[derive(Clone, Copy, Debug)]
pub struct Surfaces {
    /// Commands to accounts.
    pub accounts: SocketAddr,
    /// Commands to transfers.
    pub transfers: SocketAddr,
    /// Queries.
    pub statements: SocketAddr,
}

impl Surfaces {
    const fn of(&self, service: Service) -> SocketAddr {
        match service {
            Service::Accounts => self.accounts,
            Service::Transfers => self.transfers,
            Service::Statements => self.statements,
        }
    }
}

/// A pool of connections to one bank. Cloning shares the pool.
#[derive(Clone)]
pub struct BankClient {
    http: Client<HttpConnector, Full<Bytes>>,
    surfaces: Surfaces,
}

/// One request, as often as it may be sent.
struct Ask {
    to: SocketAddr,
    method: Method,
    path_and_query: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// Whether sending it twice has the effect of sending it once.
    repeatable: bool,
}

/// An answer with its whole body.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Bytes,
}

impl Surfaces {
    const fn all(&self) -> [SocketAddr; 3] {
        [self.accounts, self.transfers, self.statements]
    }
}

#[cfg(test)]
impl Surfaces {
    /// All in one place.
    pub fn all_at(address: SocketAddr) -> Self {
        Self { accounts: address, transfers: address, statements: address }
    }
}

impl Log {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Accounts, Self::Transfers];
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accounts => "accounts",
            Self::Transfers => "transfers",
        })
    }
}

impl BankClient {
    /// A client for surfaces at known addresses.
    pub fn at(surfaces: Surfaces) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .build(connector);
        Self { http, surfaces }
    }

    /// Sends a command to a service.
    ///
    /// # Errors
    /// [`ClientError::Problem`] is the service's own answer; everything else says that there was none to understand.
    /// With a key, 503, 409, 429 and lost connections were already retried.
    pub async fn command(&self, command: CommandRequest<'_>) -> Result<Receipt, ClientError> {
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        if let Some(key) = command.idempotency_key {
            headers.push((IDEMPOTENCY_KEY, header_value(key)?));
        }
        if let Some(version) = command.if_match {
            headers.push((IF_MATCH, header_value(&format!("\"{version}\""))?));
        }
        let answer = self
            .ask(&Ask {
                to: self.address(command.to),
                method: Method::POST,
                path_and_query: format!("/commands/{}", command.name),
                headers,
                body: Bytes::from(command.body.to_string()),
                repeatable: command.idempotency_key.is_some(),
            })
            .await?;
        answer.json()
    }

    /// Asks the statements service: `path_and_query` begins with `/queries/`. With a token, the service answers only
    /// when it shows at least what the token stands for.
    ///
    /// # Errors
    /// As [`BankClient::command`]; a query may always be repeated.
    pub async fn query<T: DeserializeOwned>(
        &self,
        path_and_query: String,
        at_least: Option<&str>,
    ) -> Result<T, ClientError> {
        let mut headers = Vec::new();
        if let Some(token) = at_least {
            headers.push((FACTUM_AT_LEAST, header_value(token)?));
        }
        self.get(self.surfaces.statements, path_and_query, headers).await?.json()
    }

    /// One page of a service's events, oldest first: those above position `after`, at most `limit`
    /// (1–[`EVENTS_PAGE_MAX`]). An empty page is the end, for now.
    ///
    /// # Errors
    /// As [`BankClient::query`].
    pub async fn events(&self, log: Log, after: u64, limit: u32) -> Result<Vec<LoggedEvent>, ClientError> {
        let path = format!("/admin/events?after={after}&limit={limit}");
        let answer = self.get(self.address(log), path, Vec::new()).await?;
        let lines = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(ClientError::Malformed)).collect()
    }

    /// Begins an operation on the read models of statements, of one projection or all, and says how they are.
    ///
    /// # Errors
    /// As [`BankClient::query`]: asking twice is asking once.
    pub async fn begin_on_read_models(
        &self,
        operation: &str,
        projection: Option<&str>,
    ) -> Result<Vec<ReadModel>, ClientError> {
        let mut path_and_query = format!("/admin/read-models/{operation}");
        if let Some(projection) = projection {
            let encoded: String = form_urlencoded::byte_serialize(projection.as_bytes()).collect();
            path_and_query.push_str(&format!("?projection={encoded}"));
        }
        let (to, headers) = (self.surfaces.statements, Vec::new());
        let ask = Ask { to, method: Method::POST, path_and_query, headers, body: Bytes::new(), repeatable: false };
        Ok(self.ask(&ask).await?.json::<ReadModels>()?.read_models)
    }

    /// How the read models of statements are.
    ///
    /// # Errors
    /// As [`BankClient::query`].
    pub async fn read_models(&self) -> Result<Vec<ReadModel>, ClientError> {
        let answer = self.get(self.surfaces.statements, "/admin/read-models".to_owned(), Vec::new()).await?;
        Ok(answer.json::<ReadModels>()?.read_models)
    }

    /// What the services say keeps them from being ready; nothing when all are.
    ///
    /// # Errors
    /// One of them does not answer, or answers nonsense.
    pub async fn unready(&self) -> Result<Vec<String>, ClientError> {
        let mut reasons = Vec::new();
        for to in self.surfaces.all() {
            let (path_and_query, headers) = ("/readyz".to_owned(), Vec::new());
            let ask = Ask { to, method: Method::GET, path_and_query, headers, body: Bytes::new(), repeatable: false };
            let readiness: Readiness = self.attempt(&ask).await?.json()?;
            reasons.extend((!readiness.ready).then_some(readiness.reason));
        }
        Ok(reasons)
    }

    fn address(&self, log: Log) -> SocketAddr {
        match log {
            Log::Accounts => self.surfaces.accounts,
            Log::Transfers => self.surfaces.transfers,
        }
    }

    async fn get(
        &self,
        to: SocketAddr,
        path_and_query: String,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Answer, ClientError> {
        let ask = Ask { to, method: Method::GET, path_and_query, headers, body: Bytes::new(), repeatable: true };
        self.ask(&ask).await
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, ClientError> {
        let mut pause = RETRY_PAUSE_MIN;
        let mut attempts_left = if ask.repeatable { ATTEMPTS_MAX } else { 1 };
        loop {
            let outcome = self.attempt(ask).await;
            attempts_left -= 1;
            let wanted_pause = match &outcome {
                Ok(answer) if answer.is_retryable() => answer.retry_after.unwrap_or(pause),
                Err(ClientError::Unreachable { .. }) => pause,
                _ => Duration::ZERO,
            };
            if attempts_left == 0 || wanted_pause.is_zero() {
                return outcome?.into_success();
            }
            tokio::time::sleep(wanted_pause.min(RETRY_PAUSE_MAX)).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    async fn attempt(&self, ask: &Ask) -> Result<Answer, ClientError> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("http://{}{}", ask.to, ask.path_and_query))
            .body(Full::new(ask.body.clone()))
            .map_err(ClientError::Unsendable)?;
        request.headers_mut().extend(ask.headers.iter().cloned());
        let exchange = async {
            let lost = |cause| ClientError::Unreachable { at: ask.to, cause };
            let response = self.http.request(request).await.map_err(|error| lost(error.into()))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(lost)?.to_bytes();
            let retry_after = parts.headers.get(RETRY_AFTER).and_then(seconds);
            Ok(Answer { status: parts.status, retry_after, body })
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(answered) => answered,
            Err(_elapsed) => Err(ClientError::TimedOut { at: ask.to, after: ANSWER_TIMEOUT }),
        }
    }
}

impl Answer {
    /// Whether the service says "not now" rather than "no".
    fn is_retryable(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
    }

    fn into_success(self) -> Result<Self, ClientError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(ClientError::Problem(Problem::read(self.status.as_u16(), &self.body)))
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(ClientError::Malformed)
    }
}

fn header_value(text: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(text).map_err(|error| ClientError::Unsendable(error.into()))
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).max(RETRY_PAUSE_MIN))
}
