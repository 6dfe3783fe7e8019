//! A small HTTP server on loopback for tests: answers as a closure says, and remembers what it was asked.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What the server was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// As `/queries/statement?account_id=…`.
    pub path_and_query: String,
    /// All of them.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: String,
}

/// What it answers.
#[derive(Debug, Clone)]
pub struct Answered {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

/// The server; it ends when dropped.
pub struct FakeServer {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _accepting: JoinSet<()>,
}

impl Asked {
    /// A parameter of the query, as it was sent.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path_and_query.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

impl Answered {
    /// 200 with JSON.
    pub fn json(body: &Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.to_string() }
    }

    /// 200 with one JSON document a line.
    pub fn lines(lines: &[Value]) -> Self {
        let body = lines.iter().map(|line| format!("{line}\n")).collect();
        Self { status: 200, headers: Vec::new(), body }
    }

    /// A problem with a code.
    pub fn problem(status: u16, code: &str) -> Self {
        let body = serde_json::json!({ "status": status, "code": code, "title": "a title", "detail": "a detail" });
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    /// Any status with any body.
    pub fn raw(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl FakeServer {
    /// Listens on a free port and answers as `answer` says.
    pub async fn start(answer: impl Fn(&Asked) -> Answered + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                    async move {
                        let asked = read(request).await;
                        let answered = answer(&asked);
                        log.lock().unwrap().push(asked);
                        Ok::<_, Infallible>(respond(answered))
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                connections.spawn(async move {
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, asked, _accepting: accepting }
    }

    /// Everything it was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn read(request: http::Request<hyper::body::Incoming>) -> Asked {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Asked {
        path_and_query: parts.uri.path_and_query().unwrap().to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn respond(answered: Answered) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answered.status);
    for (name, value) in answered.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(answered.body))).unwrap()
}
