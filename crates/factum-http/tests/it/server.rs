//! Real sockets.

use std::net::SocketAddr;

use factum::runtime::{Stop, Stopper};
use factum_http::{BindError, Bound, Drained, Server, ServerOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::toy::Toy;

async fn bound() -> Bound {
    Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

async fn serve(app: axum::Router, options: ServerOptions) -> (SocketAddr, Stopper, JoinHandle<Drained>) {
    let (stopper, stop): (Stopper, Stop) = Stopper::new();
    let bound = bound().await.options(options);
    let addr = bound.local_addr();
    (addr, stopper, tokio::spawn(bound.serve(app, stop)))
}

/// Everything the server sends until it closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_request_over_a_socket_is_answered_and_the_server_stops_when_told() {
    let (addr, stopper, serving) = serve(Toy::new().write_app(), ServerOptions::default()).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok\n"), "{answer}");
    stopper.stop();
    assert_eq!(serving.await.unwrap().cut, 0);
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_is_told_in_one_line() {
    let first = bound().await;
    let second = Server::bind(first.local_addr()).await.unwrap_err();
    assert!(matches!(&second, BindError::PortInUse { port } if *port == first.local_addr().port()));
    let told =
        format!("port {} is in use: stop what uses it, or choose another with --port-base", first.local_addr().port());
    assert_eq!(second.to_string(), told);
}
