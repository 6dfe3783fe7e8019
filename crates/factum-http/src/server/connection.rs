//! One connection, from its first byte to its last.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc};

use axum::{Router, body::Body, extract::ConnectInfo};
use factum::runtime::Stop;
use http::{HeaderValue, Request, header};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::{
    progress::{Progress, Stalled},
    watched::{Watched, WatchedBody},
};
use crate::{options::ServerOptions, work::Work};

/// hyper takes no smaller read buffer.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// What all connections of a listener share.
pub(super) struct Surface {
    pub(super) router: Router,
    pub(super) options: ServerOptions,
    pub(super) work: Work,
}

impl Surface {
    pub(super) async fn serve(&self, stream: TcpStream, peer: SocketAddr, progress: Arc<Progress>, mut stop: Stop) {
        // Answers are written whole: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection takes no options");
            return;
        }
        let options = &self.options;
        // For answers without an end, which must find one.
        let (seen, ends) = (&progress, stop.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            seen.request(!request.body().is_end_stream());
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(self.work.clone());
            request.extensions_mut().insert(ends.clone());
            let request = request.map(|body| match body.is_end_stream() {
                true => Body::empty(),
                false => Body::new(WatchedBody::new(body, Arc::clone(seen))),
            });
            let answering = self.router.clone().oneshot(request);
            async move {
                let mut response = answering.await?;
                seen.answered(&response);
                if seen.is_body_unread() {
                    // Nobody will read what is left: the peer is told, or its next request would meet a closed connection.
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let io = TokioIo::new(Watched::new(stream, Arc::clone(&progress), options.head_bytes_max));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // From the end of an answer to the next whole head; `stalled` is stricter with the first.
            .header_read_timeout(options.idle_timeout)
            .max_header_size(options.head_bytes_max)
            .max_buf_size(options.head_bytes_max.max(BUFFER_BYTES_MIN))
            // Most answers are small: one buffer and one write are less than a list of them.
            .writev(false)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        let mut stalled = pin!(progress.stalled(options));
        let (mut stopping, mut late) = (false, false);
        loop {
            tokio::select! {
                biased;
                // First, so that an answer given after it says that it is the last.
                () = stop.stopped(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                ended = connection.as_mut() => {
                    // Peers that hang up, or send what is not HTTP, are everyday.
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection broke");
                    }
                    return;
                }
                why = stalled.as_mut(), if !late => {
                    tracing::debug!(?why, "a connection on which too little moved is cut");
                    if why == Stalled::Silent {
                        return;
                    }
                    late = true;
                    // Told where hyper reads, which it does now: what it waits for is the rest of the head.
                    progress.tell_late();
                }
                () = progress.gives_way() => {
                    // Chosen when it was idle; a request that has come since is not cut: another one is looked for.
                    if !progress.is_idle() {
                        continue;
                    }
                    tracing::debug!("an idle connection gives way to another");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::routing::get;
    use factum::runtime::Stopper;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        sync::Notify,
        time::{Instant, timeout},
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// It was chosen while it was idle, and its request came before it heard of that: the request was cut without an
    /// answer, whatever it had done.
    #[tokio::test]
    async fn a_request_that_comes_when_its_connection_is_to_give_way_is_answered() {
        let (begun, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (asked, held) = (Arc::clone(&begun), Arc::clone(&released));
        let hold = move || async move {
            asked.notify_one();
            held.notified().await;
            "done"
        };
        let surface = Surface {
            router: Router::new().route("/", get(hold)),
            options: ServerOptions::default(),
            work: Work::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, addr) = listener.accept().await.unwrap();
        let (progress, (_stopper, stop)) = (Arc::new(Progress::new(Instant::now())), Stopper::new());
        let serving = {
            let progress = Arc::clone(&progress);
            async move { surface.serve(stream, addr, progress, stop).await }
        };
        let serving = tokio::spawn(serving);
        peer.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        timeout(PATIENCE, begun.notified()).await.expect("it is not asked");
        progress.give_way();
        tokio::task::yield_now().await;
        released.notify_one();
        let mut answer = vec![0; 256];
        let read = timeout(PATIENCE, peer.read(&mut answer)).await.expect("no answer").unwrap();
        assert!(answer[..read].ends_with(b"done"), "{}", String::from_utf8_lossy(&answer[..read]));
        progress.give_way();
        timeout(PATIENCE, serving).await.expect("an idle one does not give way").unwrap();
    }
}
