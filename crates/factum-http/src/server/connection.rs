//! One connection, from its first byte to its last.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use axum::{Router, body::Body, extract::ConnectInfo};
use factum::runtime::Stop;
use http::Request;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::{
    progress::Progress,
    watched::{Watched, WatchedBody},
};
use crate::options::ServerOptions;

/// hyper takes no smaller read buffer.
const BUFFER_BYTES_MIN: usize = 8 << 10;

pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    options: &ServerOptions,
    mut stop: Stop,
) {
    // Answers are written whole: waiting to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection takes no options");
        return;
    }
    let progress = Arc::new(Progress::default());
    let seen = Arc::clone(&progress);
    let service = service_fn(move |mut request: Request<Incoming>| {
        seen.request(!request.body().is_end_stream());
        request.extensions_mut().insert(ConnectInfo(peer));
        let request = request.map(|body| Body::new(WatchedBody::new(body, Arc::clone(&seen))));
        router.clone().oneshot(request)
    });
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&progress)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // From the end of an answer to the next whole head; `stalled` is stricter with the first.
        .header_read_timeout(options.idle_timeout)
        .max_header_size(options.head_bytes_max)
        .max_buf_size(options.head_bytes_max.max(BUFFER_BYTES_MIN))
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut stalled = pin!(progress.stalled(options));
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                // Peers that hang up, or send what is not HTTP, are everyday.
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = stop.stopped(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = stalled.as_mut() => {
                tracing::debug!("a connection on which nothing moved is cut");
                return;
            }
        }
    }
}
