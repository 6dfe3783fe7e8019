//! That something moved, without saying what.

use std::{future::poll_fn, task::Poll};

use tokio::sync::watch;

use super::watermarks::{Phase, Seen};
use crate::store::BoxFuture;

/// Tells that any of some projections moved, or became whole. However much moved since it was asked last, it tells once.
pub struct Moves {
    pub(super) projections: Vec<(watch::Receiver<Seen>, watch::Receiver<Phase>)>,
}

impl Moves {
    /// Waits until something moved that was not marked as seen; dropped before its end, it has forgotten nothing.
    /// Ends only while the [`Watermarks`](super::Watermarks) are there.
    pub async fn changed(&mut self) {
        let mut changes: Vec<BoxFuture<'_, _>> = Vec::with_capacity(self.projections.len() * 2);
        for (seen, phase) in &mut self.projections {
            changes.push(Box::pin(seen.changed()));
            changes.push(Box::pin(phase.changed()));
        }
        poll_fn(|context| match changes.iter_mut().any(|change| change.as_mut().poll(context).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Marks all that moved so far as seen.
    pub fn mark_seen(&mut self) {
        for (seen, phase) in &mut self.projections {
            seen.mark_unchanged();
            phase.mark_unchanged();
        }
    }
}
