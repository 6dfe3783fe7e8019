//! The two streams of a connection, with an eye on what moves: its bytes, and the body of a request.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::{last_words, progress::Progress};

/// How long what a peer still sends is read and thrown away, after it was answered before its body was read.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// How much of it is read at one time.
const LINGER_BUFFER_BYTES: usize = 16 << 10;

/// A socket whose progress is watched, and on which a peer hears why when it is refused.
pub(super) struct Watched {
    stream: TcpStream,
    progress: Arc<Progress>,
    head_bytes_max: usize,
    saying: Option<Saying>,
    closing: Closing,
}

/// Words of our own, on their way.
struct Saying {
    text: Vec<u8>,
    written: usize,
}

enum Closing {
    Open,
    /// Our side is closed; the peer's is read until it closes too, or time is up.
    Lingering(Pin<Box<Sleep>>),
    Closed,
}

impl Watched {
    pub(super) const fn new(stream: TcpStream, progress: Arc<Progress>, head_bytes_max: usize) -> Self {
        Self { stream, progress, head_bytes_max, saying: None, closing: Closing::Open }
    }

    /// Writes words of our own, whole.
    fn poll_say(&mut self, cx: &mut Context<'_>, text: impl FnOnce() -> Vec<u8>) -> Poll<io::Result<()>> {
        let saying = self.saying.get_or_insert_with(|| Saying { text: text(), written: 0 });
        while saying.written < saying.text.len() {
            let left = &saying.text[saying.written..];
            saying.written += ready!(Pin::new(&mut self.stream).poll_write(cx, left))?;
            self.progress.moved();
        }
        // More may come than anybody will read.
        self.progress.given_up();
        Poll::Ready(Ok(()))
    }

    /// Closes our side, and throws away what the peer still sends: closing a socket with unread bytes makes the system
    /// reset the connection, and the peer lose the answer it has not read yet (RFC 9112, 9.6).
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::Open) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            let unread = self.progress.is_body_unread();
            self.closing = if unread { Closing::Lingering(Box::pin(sleep(LINGER_MAX))) } else { Closing::Closed };
        }
        ready!(self.poll_linger(cx));
        self.closing = Closing::Closed;
        Poll::Ready(Ok(()))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Closing::Lingering(limit) = &mut self.closing else { return Poll::Ready(()) };
        if limit.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut space = [0; LINGER_BUFFER_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.progress.is_late() {
            ready!(self.poll_say(cx, last_words::too_late))?;
            // To hyper, the peer has hung up.
            return self.poll_close(cx);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.progress.has_read();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let own = last_words::find(bytes, self.head_bytes_max).filter(|_| !self.progress.is_resembled());
        let bytes = match own {
            Some(own) if own.start == 0 => {
                ready!(self.poll_say(cx, || own.text))?;
                return Poll::Ready(Ok(bytes.len()));
            }
            // What stands before it is somebody's answer.
            Some(own) => &bytes[..own.start],
            None => bytes,
        };
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(1..)) = &written {
            self.progress.moved();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close(cx)
    }
}

/// The body of a request, of which it is known whether it was read to its end.
pub(super) struct WatchedBody {
    body: Incoming,
    progress: Arc<Progress>,
}

impl WatchedBody {
    pub(super) const fn new(body: Incoming, progress: Arc<Progress>) -> Self {
        Self { body, progress }
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.progress.body_read();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
