//! Whether anything moves on a connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::time::sleep;

use crate::options::ServerOptions;

/// What has moved on one connection so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    asked: AtomicBool,
    body_unread: AtomicBool,
}

impl Progress {
    /// The head of a request has arrived; a body may follow it.
    pub(super) fn request(&self, has_body: bool) {
        self.asked.store(true, Ordering::Relaxed);
        self.body_unread.store(has_body, Ordering::Relaxed);
    }

    /// The body of the last request was read to its end.
    pub(super) fn body_read(&self) {
        self.body_unread.store(false, Ordering::Relaxed);
    }

    /// Whether the last request was answered before its body was read to its end.
    pub(super) fn is_body_unread(&self) -> bool {
        self.body_unread.load(Ordering::Relaxed)
    }

    /// Bytes were read or written.
    pub(super) fn moved(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Is done when the peer has not asked anything in time, or nothing has moved either way for too long: a peer
    /// that takes none of its answer would hold it for ever.
    pub(super) async fn stalled(&self, options: &ServerOptions) {
        sleep(options.head_timeout).await;
        if !self.asked.load(Ordering::Relaxed) {
            return;
        }
        let mut before = self.bytes.load(Ordering::Relaxed);
        loop {
            sleep(options.idle_timeout).await;
            let now = self.bytes.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
        }
    }
}
