//! A cheap HTTP/1.1 client: keep-alive connections that send the same requests over and over, on one thread beside the
//! services.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep_until, timeout},
};

use crate::statistics::percentile;

/// The largest answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longer than any answer that is still a result.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What is sent, and how fast.
#[derive(Clone)]
pub struct Load {
    /// To whom.
    pub to: SocketAddr,
    /// Whole requests. Connection `c` of `n` sends number `c`, `c + n`, `c + 2n`, … and begins anew at the end.
    pub requests: Arc<Vec<Vec<u8>>>,
    /// How many connections.
    pub connections: usize,
    /// Requests a second, all connections together; as many as are answered when `None`.
    pub rate: Option<f64>,
    /// For how long.
    pub time: Duration,
}

/// How it was answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered {
    /// Answers a second.
    pub rate: f64,
    /// The median time from sending to the whole answer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
}

impl Load {
    /// Sends it from a thread of its own.
    ///
    /// # Errors
    /// A connection was lost, or an answer was not 200.
    pub fn run(&self) -> Result<Answered> {
        let load = self.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(load.drive())
        });
        thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the load panicked")))
    }

    async fn drive(self) -> Result<Answered> {
        let begun = Instant::now();
        let connections: Vec<_> =
            (0..self.connections).map(|number| tokio::spawn(self.clone().connection(number, begun))).collect();
        let mut latencies = Vec::new();
        for connection in connections {
            latencies.extend(connection.await??);
        }
        let elapsed = begun.elapsed().as_secs_f64();
        ensure!(!latencies.is_empty(), "nothing was answered");
        let rate = latencies.len() as f64 / elapsed;
        Ok(Answered { rate, p50: percentile(&mut latencies, 0.5), p99: percentile(&mut latencies, 0.99) })
    }

    async fn connection(self, number: usize, begun: Instant) -> Result<Vec<Duration>> {
        let mut connection = Connection::to(self.to).await?;
        let pause = self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
        let first = pause.unwrap_or_default().mul_f64(number as f64 / self.connections as f64);
        let (mut latencies, mut due) = (Vec::new(), begun + first);
        let mine = self.requests.iter().cycle().skip(number).step_by(self.connections);
        for request in mine {
            if begun.elapsed() >= self.time {
                break;
            }
            if let Some(pause) = pause {
                sleep_until(due.into()).await;
                due += pause;
            }
            let sent = Instant::now();
            connection.ask(request).await?;
            latencies.push(sent.elapsed());
        }
        Ok(latencies)
    }
}

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn to(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::new() })
    }

    /// Sends a request and returns the whole answer, head and body.
    ///
    /// # Errors
    /// The connection was lost, or the answer is not 200.
    pub async fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        timeout(ANSWER_LIMIT, self.read()).await.context("no answer in time")??;
        ensure!(self.answer.starts_with(b"HTTP/1.1 200"), "answered {}", String::from_utf8_lossy(&self.answer));
        Ok(&self.answer)
    }

    async fn read(&mut self) -> Result<()> {
        let mut whole = None;
        while whole.is_none_or(|whole| self.answer.len() < whole) {
            ensure!(self.answer.len() < ANSWER_BYTES_MAX, "an answer of more than {ANSWER_BYTES_MAX} bytes");
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the connection was closed");
            if whole.is_none()
                && let Some(head) = self.answer.windows(4).position(|end| end == b"\r\n\r\n")
            {
                let head_text = str::from_utf8(&self.answer[..head])?;
                let length = header(head_text, "content-length").context("an answer without a length")?;
                whole = Some(head + 4 + length.parse::<usize>()?);
            }
        }
        Ok(())
    }
}

/// The value of a header in an answer's head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// A GET request.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bank\r\n\r\n").into_bytes()
}

/// A POST request with a JSON body.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bank\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
