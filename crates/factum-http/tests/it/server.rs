//! Real sockets: what peers can hold on to, and for how long.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::get,
};
use factum::runtime::{Stop, Stopper};
use factum_http::{BindError, Bound, Drained, ProblemBody, Server, ServerOptions};
use hyper::body::{Body as HttpBody, Frame};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    toy::Toy,
    troubled::{Trouble, Troubled},
};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a test makes sure that something does not happen.
const GLANCE: Duration = Duration::from_millis(100);
/// A limit that a test wants to see reached.
const SOON: Duration = Duration::from_millis(50);

const HEALTHZ: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
const RAISE: &[u8] = b"POST /commands/raise HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                       content-length: 8\r\n\r\n{\"by\":1}";

async fn bound() -> Bound {
    Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

async fn serve(app: Router, options: ServerOptions) -> (SocketAddr, Stopper, JoinHandle<Drained>) {
    let (stopper, stop): (Stopper, Stop) = Stopper::new();
    let bound = bound().await.options(options);
    let addr = bound.local_addr();
    (addr, stopper, tokio::spawn(bound.serve(app, stop)))
}

async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

async fn ask(addr: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = connect(addr).await;
    stream.write_all(request).await.unwrap();
    stream
}

/// Everything the server sends until it closes the connection, which it must do in time.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the connection is not closed").unwrap();
    String::from_utf8(text).unwrap()
}

/// One answer, up to the end of its small body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"ok\n") && !text.ends_with(b"}") {
        let read = timeout(PATIENCE, stream.read_buf(&mut text)).await.expect("no answer").unwrap();
        assert!(read > 0, "the connection ends after {}", String::from_utf8_lossy(&text));
    }
    String::from_utf8(text).unwrap()
}

/// A whole answer that is a problem, and the last on its connection.
#[track_caller]
fn is_problem(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(head.contains("\r\ncontent-type: application/problem+json"), "{answer}");
    assert!(head.contains("\r\nconnection: close"), "{answer}");
    assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{answer}");
    let problem: ProblemBody = serde_json::from_str(body).unwrap();
    assert_eq!((problem.status, problem.code.as_ref()), (status, code));
    assert!(!problem.detail.is_empty());
}

async fn drained(serving: JoinHandle<Drained>) -> Drained {
    timeout(PATIENCE, serving).await.expect("the server does not stop").unwrap()
}

#[tokio::test]
async fn a_connection_is_kept_for_more_than_one_request() {
    let (addr, stopper, serving) = serve(Toy::new().write_app(), ServerOptions::default()).await;
    let mut stream = connect(addr).await;
    for _ in 0..3 {
        stream.write_all(RAISE).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    stopper.stop();
    assert_eq!(drained(serving).await, Drained { cut: 0, left: 0 });
}

/// A standby gave up at once while the process that it had waited for was being started again: that one had the ports
/// for a moment, and ended because the standby had the folder. Nobody was left.
#[tokio::test]
async fn a_port_that_is_in_use_for_a_moment_is_waited_for() {
    let first = bound().await;
    let addr = first.local_addr();
    let waiting = tokio::spawn(Server::bind_when_free(addr));
    tokio::time::sleep(GLANCE).await;
    assert!(!waiting.is_finished(), "it waits");
    drop(first);
    let second = timeout(PATIENCE, waiting).await.expect("is told").unwrap().expect("the port is free");
    assert_eq!(second.local_addr(), addr);
    let third = timeout(PATIENCE, Server::bind_when_free(addr)).await.expect("it does not wait for ever");
    assert!(matches!(third, Err(BindError::PortInUse { .. })));
}

#[tokio::test]
async fn a_port_in_use_is_told_in_one_line() {
    let first = bound().await.local_addr();
    let (addr, _stopper, _serving) = serve(Router::new(), ServerOptions::default()).await;
    assert!(Server::bind(first).await.is_ok(), "a port let go of can be bound again");
    let second = Server::bind(addr).await.unwrap_err();
    assert!(matches!(&second, BindError::PortInUse { port } if *port == addr.port()));
    let told = format!("port {} is in use: stop what uses it, or choose another", addr.port());
    assert_eq!(second.to_string(), told);
    let nobodys = Server::bind("192.0.2.1:7001".parse().unwrap()).await.unwrap_err();
    assert!(nobodys.to_string().starts_with("cannot listen on 192.0.2.1:7001: "), "{nobodys}");
}

#[tokio::test]
async fn the_log_is_shown_over_loopback() {
    let (addr, _stopper, _serving) = serve(Toy::new().write_app(), ServerOptions::default()).await;
    let mut stream = ask(addr, RAISE).await;
    answer(&mut stream).await;
    let request = format!("GET /admin/events HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let lines = rest(&mut stream).await;
    assert!(lines.starts_with("HTTP/1.1 200 OK") && lines.contains(r#""type":"counter.raised""#), "{lines}");
}

#[tokio::test]
async fn a_stop_closes_what_is_idle_at_once_and_takes_nothing_new() {
    let (addr, stopper, serving) = serve(Toy::new().write_app(), ServerOptions::default()).await;
    let mut unused = connect(addr).await;
    let mut used = ask(addr, HEALTHZ).await;
    answer(&mut used).await;
    stopper.stop();
    assert_eq!(rest(&mut used).await, "");
    assert_eq!(rest(&mut unused).await, "");
    assert_eq!(drained(serving).await, Drained { cut: 0, left: 0 });
    assert!(TcpStream::connect(addr).await.is_err());
}

/// A server whose store hangs with one request in it.
async fn hanging(drain_timeout: Duration) -> (Troubled, TcpStream, Stopper, JoinHandle<Drained>) {
    let store = Troubled::new(Trouble::Hanging);
    let app = Toy::on(store.store()).write_app();
    let (addr, stopper, serving) = serve(app, ServerOptions { drain_timeout, ..ServerOptions::default() }).await;
    let stream = ask(addr, RAISE).await;
    store.reached().await;
    (store, stream, stopper, serving)
}

#[tokio::test]
async fn a_stop_lets_requests_under_way_end() {
    let (store, mut stream, stopper, serving) = hanging(PATIENCE).await;
    stopper.stop();
    store.release();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(drained(serving).await, Drained { cut: 0, left: 0 });
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let (_store, mut stream, stopper, serving) = hanging(SOON).await;
    stopper.stop();
    assert_eq!(drained(serving).await, Drained { cut: 1, left: 1 });
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_stop_waits_for_the_work_of_callers_who_hung_up() {
    let (store, stream, stopper, serving) = hanging(PATIENCE).await;
    drop(stream);
    stopper.stop();
    let mut serving = serving;
    assert!(timeout(GLANCE, &mut serving).await.is_err(), "nobody waits for what was accepted");
    store.release();
    assert_eq!(drained(serving).await, Drained { cut: 0, left: 0 });
}

#[tokio::test]
async fn when_all_places_are_taken_the_longest_idle_connection_gives_way() {
    // So long that nobody ends for another reason.
    let options = ServerOptions { connections_max: 2, head_timeout: PATIENCE * 10, ..ServerOptions::default() };
    let (addr, _stopper, _serving) = serve(Toy::new().write_app(), options).await;
    let mut silent = connect(addr).await;
    let mut idle = ask(addr, HEALTHZ).await;
    answer(&mut idle).await;
    let mut third = ask(addr, HEALTHZ).await;
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(rest(&mut silent).await, "", "it has asked nothing yet");
    idle.write_all(HEALTHZ).await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200 OK\r\n"), "the other one stays");
}

#[tokio::test]
async fn a_connection_whose_request_is_worked_on_keeps_its_place() {
    let store = Troubled::new(Trouble::Hanging);
    let app = Toy::on(store.store()).write_app();
    let options = ServerOptions { connections_max: 1, ..ServerOptions::default() };
    let (addr, _stopper, _serving) = serve(app, options).await;
    let mut first = ask(addr, RAISE).await;
    store.reached().await;
    let mut second = ask(addr, HEALTHZ).await;
    assert!(timeout(GLANCE, second.read_u8()).await.is_err(), "connections are not bounded");
    store.release();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(answer(&mut second).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_peer_that_does_not_get_to_its_first_request_is_cut() {
    let options = ServerOptions { head_timeout: SOON, ..ServerOptions::default() };
    let (addr, _stopper, _serving) = serve(Toy::new().write_app(), options).await;
    assert_eq!(rest(&mut connect(addr).await).await, "", "who says nothing is told nothing");
    for begun in [&b"G"[..], b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nhost: x\r\n"] {
        is_problem(&rest(&mut ask(addr, begun).await).await, 408, "request-timeout");
    }
}

#[tokio::test]
async fn a_peer_that_stays_idle_or_dribbles_its_next_request_is_cut() {
    let options = ServerOptions { idle_timeout: SOON, ..ServerOptions::default() };
    let (addr, _stopper, _serving) = serve(Toy::new().write_app(), options).await;
    let mut idle = ask(addr, HEALTHZ).await;
    answer(&mut idle).await;
    assert_eq!(rest(&mut idle).await, "");
    let mut dribbling = ask(addr, HEALTHZ).await;
    answer(&mut dribbling).await;
    dribbling.write_all(b"GET /heal").await.unwrap();
    assert_eq!(rest(&mut dribbling).await, "");
}

/// More than any socket buffers; tells when it is let go of.
struct Endless(Option<oneshot::Sender<()>>);

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 65_536])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        if let Some(gone) = self.0.take() {
            let _ = gone.send(());
        }
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_of_its_answer_is_cut() {
    let (gone, is_gone) = oneshot::channel();
    let endless = Arc::new(std::sync::Mutex::new(Some(Endless(Some(gone)))));
    let app = Router::new().route("/", get(move || async move { Body::new(endless.lock().unwrap().take().unwrap()) }));
    let options = ServerOptions { head_timeout: SOON, idle_timeout: SOON, ..ServerOptions::default() };
    let (addr, _stopper, _serving) = serve(app, options).await;
    let _deaf = ask(addr, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    timeout(PATIENCE, is_gone).await.expect("the answer is held for ever").unwrap();
}

#[tokio::test]
async fn a_peer_that_sends_too_much_still_reads_why_it_was_refused() {
    let (addr, _stopper, _serving) = serve(Toy::new().write_app(), ServerOptions::default()).await;
    let head = "POST /commands/raise HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 33554432\r\n\r\n";
    let mut stream = ask(addr, head.as_bytes()).await;
    // All of it is sent before anything is read, as simple clients do.
    for _ in 0..512 {
        stream.write_all(&[b' '; 65_536]).await.unwrap();
    }
    let answer = rest(&mut stream).await;
    is_problem(&answer, 413, "too-large");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (addr, _stopper, _serving) = serve(Toy::new().write_app(), ServerOptions::default()).await;
    let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "v".repeat(40_000));
    let mut stream = ask(addr, head.as_bytes()).await;
    is_problem(&rest(&mut stream).await, 431, "headers-too-large");
    let many: String = (0..101).map(|number| format!("x-{number}: v\r\n")).collect();
    let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    is_problem(&rest(&mut ask(addr, head.as_bytes()).await).await, 431, "headers-too-large");
}

#[tokio::test]
async fn a_peer_whose_head_is_far_too_large_still_reads_why() {
    let (addr, _stopper, _serving) = serve(Toy::new().write_app(), ServerOptions::default()).await;
    let mut stream = ask(addr, b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-large: ").await;
    // All of it is sent before anything is read, as simple clients do.
    for _ in 0..256 {
        stream.write_all(&[b'v'; 65_536]).await.unwrap();
    }
    is_problem(&rest(&mut stream).await, 431, "headers-too-large");
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_the_server_goes_on() {
    let (addr, _stopper, _serving) = serve(Toy::new().write_app(), ServerOptions::default()).await;
    for noise in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /commands/raise HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /commands/raise HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    ] {
        is_problem(&rest(&mut ask(addr, noise).await).await, 400, "malformed");
    }
    let http2 = rest(&mut ask(addr, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await).await;
    assert_eq!(http2, "", "another protocol is not spoken to");
    let behind = [HEALTHZ, b"\0\0\r\n\r\n"].concat();
    let answers = rest(&mut ask(addr, &behind).await).await;
    let (first, second) = answers.split_at(answers.rfind("HTTP/1.1 ").unwrap());
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && first.ends_with("ok\n"), "{first}");
    is_problem(second, 400, "malformed");
    assert!(answer(&mut ask(addr, HEALTHZ).await).await.starts_with("HTTP/1.1 200 OK\r\n"));
}
