//! What operators ask a running service on the same machine, and how it is told: the commands `relay` and `bus` of every service.
//!
//! A service's binary parses its own options, makes a [`Request`] of them, and calls [`ask`].

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use http::{Method, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};

use crate::{ConsumerAnswer, ConsumersAnswer, ProblemBody, RelayAnswer, RelaysAnswer, RewoundAnswer, TopicsAnswer};

/// How long a service may take to answer.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What a service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// How far its relays are.
    RelayStatus,
    /// To publish again on a topic what was published there of events after a position.
    RelayRewind {
        /// The topic.
        topic: String,
        /// The position.
        to: u64,
    },
    /// How far its consumers are.
    BusLag,
    /// What topics it has to do with, as they are on the bus.
    BusTopics,
}

/// Why there is nothing to tell.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Nobody answers there.
    #[error("no service answers at 127.0.0.1:{port}: is it running there? ({reason})")]
    Unreachable {
        /// The port.
        port: u16,
        /// Why.
        reason: String,
    },
    /// The service refuses.
    #[error("refused ({code}): {detail}")]
    Refused {
        /// The code to branch on.
        code: String,
        /// What would be right.
        detail: String,
    },
    /// What answers is no service of this kind, or of another version.
    #[error("what answers at 127.0.0.1:{port} is not understood: {reason}")]
    NotUnderstood {
        /// The port.
        port: u16,
        /// Why.
        reason: String,
    },
}

/// Asks a service that listens on this port of 127.0.0.1; what it says, as JSON for programs or as text. Text shows nothing
/// of what others sent that would do something to a terminal.
///
/// # Errors
/// See [`OperatorError`].
pub async fn ask(port: u16, request: &Request, as_json: bool) -> Result<String, OperatorError> {
    let at = Service { port };
    match request {
        Request::RelayStatus => {
            let answer: RelaysAnswer = at.get("/admin/relays").await?;
            told(port, as_json, &answer, || relays(&answer))
        }
        Request::RelayRewind { topic, to } => {
            let body = json!({ "topic": topic, "to": to }).to_string();
            let answer: RewoundAnswer = at.send(Method::POST, "/admin/relays/rewind", body).await?;
            told(port, as_json, &answer, || rewound(topic, &answer))
        }
        Request::BusLag => {
            let answer: ConsumersAnswer = at.get("/admin/consumers").await?;
            told(port, as_json, &answer, || consumers(&answer))
        }
        Request::BusTopics => {
            let answer: TopicsAnswer = at.get("/admin/topics").await?;
            told(port, as_json, &answer, || topics(&answer))
        }
    }
}

fn told(
    port: u16,
    as_json: bool,
    answer: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<String, OperatorError> {
    if !as_json {
        return Ok(harmless(&text()));
    }
    let document = serde_json::to_string_pretty(answer);
    let document = document.map_err(|error| OperatorError::NotUnderstood { port, reason: error.to_string() })?;
    Ok(format!("{document}\n"))
}

/// Where a service listens.
struct Service {
    port: u16,
}

impl Service {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, OperatorError> {
        self.send(Method::GET, path, String::new()).await
    }

    async fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: String) -> Result<T, OperatorError> {
        let Self { port } = *self;
        let answer = timeout(ANSWER_WAIT_MAX, exchange(port, method, path, body)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_WAIT_MAX.as_secs()).into()));
        let (status, bytes) = answer.map_err(|error| OperatorError::Unreachable { port, reason: error.to_string() })?;
        let not_understood = |error: serde_json::Error| OperatorError::NotUnderstood {
            port,
            reason: format!("status {status}, {error}"),
        };
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(not_understood);
        }
        let problem: ProblemBody = serde_json::from_slice(&bytes).map_err(not_understood)?;
        Err(OperatorError::Refused { code: harmless(&problem.code), detail: harmless(&problem.detail) })
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// One request on a connection of its own.
async fn exchange(port: u16, method: Method, path: &str, body: String) -> Result<(http::StatusCode, Bytes), AnyError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
        Ok((status, bytes))
    };
    // The connection is driven as long as the answer is waited for; it ends with it.
    tokio::pin!(connection, answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        ended = &mut connection => {
            ended?;
            answered.await
        }
    }
}

fn relays(answer: &RelaysAnswer) -> String {
    if answer.relays.is_empty() {
        return "nothing is published here\n".to_owned();
    }
    answer.relays.iter().map(relay).collect()
}

fn relay(relay: &RelayAnswer) -> String {
    let RelayAnswer { topic, state, position, checkpoint, head, lag, sent, resent, last_error, partitions, .. } = relay;
    let mut text = format!("{topic}: {state}, at {position} of {head}, {lag} behind\n");
    let _ = writeln!(text, "  sent        {sent} since it started, {resent} of them again");
    let _ = writeln!(text, "  checkpoint  {checkpoint}");
    let lanes = partitions.iter().filter(|lane| lane.sent > 0).map(|lane| format!("{}:{}", lane.partition, lane.sent));
    let lanes = lanes.collect::<Vec<_>>().join(" ");
    let _ = writeln!(text, "  last sent   {}", if lanes.is_empty() { "nothing" } else { &lanes });
    if let Some(error) = last_error {
        let _ = writeln!(text, "  error       {}", line(error));
    }
    text
}

fn rewound(topic: &str, RewoundAnswer { to, from, .. }: &RewoundAnswer) -> String {
    if to == from {
        return format!("{topic}: the relay is at {from}: there is nothing to publish again\n");
    }
    format!("{topic}: what was published of events after {to} is published again, up to {from} and on\n")
}

fn consumers(answer: &ConsumersAnswer) -> String {
    if answer.consumers.is_empty() {
        return "nothing on the bus is heard here\n".to_owned();
    }
    answer.consumers.iter().map(consumer).collect()
}

fn consumer(consumer: &ConsumerAnswer) -> String {
    let ConsumerAnswer { consumer, state, lag, processed, dropped, alarms, last_error, partitions, .. } = consumer;
    let mut text = format!("{consumer}: {state}, {lag} records behind\n");
    let _ = writeln!(text, "  dealt with  {processed} since it started, {dropped} re-sends dropped");
    for partition in partitions.iter().filter(|partition| partition.lag > 0) {
        let (next, tail) = (partition.next.unwrap_or(0), partition.tail.unwrap_or(0));
        let _ = writeln!(
            text,
            "  behind      {}/{}: next {next}, last {tail}, {} behind",
            partition.topic, partition.partition, partition.lag
        );
    }
    for alarm in alarms {
        let _ = writeln!(text, "  alarm       {}", line(&alarm.text));
    }
    if let Some(error) = last_error {
        let _ = writeln!(text, "  error       {}", line(error));
    }
    text
}

fn topics(answer: &TopicsAnswer) -> String {
    if answer.topics.is_empty() {
        return "nothing on the bus is published or heard here\n".to_owned();
    }
    let one = |topic: &crate::TopicAnswer| {
        let what = if topic.published { "published" } else { "heard" };
        match topic.partitions {
            Some(partitions) => {
                format!("{}: {what}, {partitions} partitions, about {} records so far\n", topic.topic, topic.records)
            }
            None => format!("{}: {what}, not on the bus\n", topic.topic),
        }
    };
    answer.topics.iter().map(one).collect()
}

/// What others wrote, in one line.
fn line(text: &str) -> String {
    text.replace('\n', "\\n")
}

/// Without control characters, but for the ends of lines.
fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}
