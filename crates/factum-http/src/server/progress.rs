//! Whether anything moves on a connection.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use axum::response::Response;
use hyper::body::Body as _;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::last_words;
use crate::{options::ServerOptions, work::Stream};

/// What has moved on one connection so far.
#[derive(Debug)]
pub(super) struct Progress {
    /// When its listener began: connections are compared by times after it.
    epoch: Instant,
    /// When something moved last, in microseconds after the epoch.
    moved_us: AtomicU64,
    read: AtomicBool,
    asked: AtomicBool,
    working: AtomicBool,
    streaming: AtomicBool,
    body_unread: AtomicBool,
    resembled: AtomicBool,
    late: AtomicBool,
    gives_way: Notify,
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalled {
    /// The head of the first request was begun, and is not there in time.
    HeadLate,
    /// Nothing was asked, or nothing moves.
    Silent,
}

impl Progress {
    pub(super) fn new(epoch: Instant) -> Self {
        let progress = Self {
            epoch,
            moved_us: AtomicU64::new(0),
            read: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            working: AtomicBool::new(false),
            streaming: AtomicBool::new(false),
            body_unread: AtomicBool::new(false),
            resembled: AtomicBool::new(false),
            late: AtomicBool::new(false),
            gives_way: Notify::new(),
        };
        progress.moved();
        progress
    }

    /// The head of a request has arrived; a body may follow it.
    pub(super) fn request(&self, has_body: bool) {
        self.asked.store(true, Ordering::Relaxed);
        self.working.store(true, Ordering::Relaxed);
        self.body_unread.store(has_body, Ordering::Relaxed);
    }

    /// The request at hand has its answer, which is still to be written.
    pub(super) fn answered(&self, response: &Response) {
        self.streaming.store(response.extensions().get::<Stream>().is_some(), Ordering::Relaxed);
        self.working.store(false, Ordering::Relaxed);
        if last_words::STATUSES.contains(&response.status().as_u16()) && response.body().is_end_stream() {
            self.resembled.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a route has answered so that it cannot be told from what hyper says by itself.
    pub(super) fn is_resembled(&self) -> bool {
        self.resembled.load(Ordering::Relaxed)
    }

    /// The body of the last request was read to its end.
    pub(super) fn body_read(&self) {
        self.body_unread.store(false, Ordering::Relaxed);
    }

    /// There may be more to read than anybody will.
    pub(super) fn given_up(&self) {
        self.body_unread.store(true, Ordering::Relaxed);
    }

    /// Whether the last request was answered before its body was read to its end.
    pub(super) fn is_body_unread(&self) -> bool {
        self.body_unread.load(Ordering::Relaxed)
    }

    /// Bytes were read.
    pub(super) fn has_read(&self) {
        self.read.store(true, Ordering::Relaxed);
        self.moved();
    }

    /// Bytes were read or written.
    pub(super) fn moved(&self) {
        let us = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.moved_us.store(us, Ordering::Relaxed);
    }

    /// When something moved last, in microseconds after the listener began.
    pub(super) fn moved_us(&self) -> u64 {
        self.moved_us.load(Ordering::Relaxed)
    }

    /// Whether nothing is being worked on for this peer.
    pub(super) fn is_idle(&self) -> bool {
        !self.working.load(Ordering::Relaxed)
    }

    /// Whether its peer is being answered without an end.
    pub(super) fn is_streaming(&self) -> bool {
        self.streaming.load(Ordering::Relaxed)
    }

    /// The peer is told that it is too late, the next time something is read from it.
    pub(super) fn tell_late(&self) {
        self.late.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// Makes the connection end, for another to have its place.
    pub(super) fn give_way(&self) {
        self.gives_way.notify_one();
    }

    pub(super) async fn gives_way(&self) {
        self.gives_way.notified().await;
    }

    /// Is done when the peer has not asked anything in time, or nothing has moved either way for too long: a peer
    /// that takes none of its answer would hold it for ever.
    pub(super) async fn stalled(&self, options: &ServerOptions) -> Stalled {
        sleep(options.head_timeout).await;
        if !self.asked.load(Ordering::Relaxed) {
            return if self.read.load(Ordering::Relaxed) { Stalled::HeadLate } else { Stalled::Silent };
        }
        loop {
            let moved = self.epoch + Duration::from_micros(self.moved_us());
            let left = options.idle_timeout.saturating_sub(moved.elapsed());
            if left.is_zero() && self.is_idle() {
                return Stalled::Silent;
            }
            // The work for a request has a limit of its own.
            sleep(if self.is_idle() { left } else { options.idle_timeout }).await;
        }
    }
}
