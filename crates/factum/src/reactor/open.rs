//! Events whose effects are not all done, by stream.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::work::Todo;
use crate::{
    consumer::EffectError,
    model::{Delivery, Timestamp},
    runtime::{Backoff, Runtime},
    store::{Position, RecordedEvent, StreamName},
};

/// From how many open events on no more are read.
pub(super) const OPEN_EVENTS_FULL: usize = 1_000;
/// How many events are read at once.
pub(super) const READ_EVENTS_MAX: usize = 500;
/// The most events that are open.
pub(super) const OPEN_EVENTS_MAX: usize = OPEN_EVENTS_FULL + READ_EVENTS_MAX;
/// The first wait of a stream that stands still.
const STILL_WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest wait of a stream that stands still.
const STILL_WAIT_MAX: Duration = Duration::from_secs(60);

/// An event that leads to something.
pub(super) struct Planned {
    pub(super) event: RecordedEvent,
    pub(super) delivery: Delivery,
    /// What is to be done; or it cannot be told.
    pub(super) todo: Result<Todo, EffectError>,
}

/// Events whose effects are not all done. Those of one stream wait for the first of them.
#[derive(Default)]
pub(super) struct Open {
    positions: BTreeSet<Position>,
    streams: HashMap<StreamName, Line>,
    /// Streams whose first event nobody has begun with.
    ready: VecDeque<StreamName>,
}

/// The open events of a stream.
#[derive(Default)]
struct Line {
    events: VecDeque<Arc<Planned>>,
    /// It stands still at its first event.
    still: Option<Still>,
}

struct Still {
    backoff: Backoff,
    /// `None` while it is being tried again.
    due: Option<Timestamp>,
}

impl Open {
    pub(super) fn add(&mut self, planned: Planned) {
        let stream = planned.delivery.stream.clone();
        self.positions.insert(planned.delivery.position);
        let line = self.streams.entry(stream.clone()).or_default();
        line.events.push_back(Arc::new(planned));
        if line.events.len() == 1 {
            self.ready.push_back(stream);
        }
    }

    /// The first event of a stream that nobody has begun with.
    pub(super) fn begin(&mut self) -> Option<Arc<Planned>> {
        let stream = self.ready.pop_front()?;
        self.streams.get(&stream)?.events.front().map(Arc::clone)
    }

    /// The effects of the first event of a stream are done.
    pub(super) fn done(&mut self, planned: &Planned) {
        let stream = &planned.delivery.stream;
        self.positions.remove(&planned.delivery.position);
        let Some(line) = self.streams.get_mut(stream) else { return };
        line.events.pop_front();
        line.still = None;
        if line.events.is_empty() {
            self.streams.remove(stream);
        } else {
            self.ready.push_back(stream.clone());
        }
    }

    /// A stream stands still at its first event, for a while.
    pub(super) fn stand_still(&mut self, stream: &StreamName, runtime: &Runtime) {
        let Some(line) = self.streams.get_mut(stream) else { return };
        let fresh = || Still { backoff: Backoff::new(STILL_WAIT_FIRST, STILL_WAIT_MAX), due: None };
        let still = line.still.get_or_insert_with(fresh);
        still.due = Some(runtime.now().plus(still.backoff.next(runtime)));
    }

    /// Waits until a stream that stands still is to be tried again.
    pub(super) async fn due(&self, runtime: &Runtime) {
        let now = runtime.now();
        let waits = self.streams.values().filter_map(|line| line.still.as_ref()?.due).map(|due| left(due, now));
        match waits.min() {
            Some(wait) => runtime.sleep(wait).await,
            None => std::future::pending().await,
        }
    }

    /// Lets streams that stood still long enough try again.
    pub(super) fn resume_due(&mut self, now: Timestamp) {
        for (stream, line) in &mut self.streams {
            let Some(still) = &mut line.still else { continue };
            if still.due.is_some_and(|due| left(due, now).is_zero()) {
                still.due = None;
                self.ready.push_back(stream.clone());
            }
        }
    }

    /// So many events are open that no more are to be read.
    pub(super) fn is_full(&self) -> bool {
        self.positions.len() >= OPEN_EVENTS_FULL
    }

    /// The position up to which everything is done, of everything up to `read_to`.
    pub(super) fn done_to(&self, read_to: Position) -> Position {
        self.positions.first().map_or(read_to, |first| Position::new(first.get().saturating_sub(1)))
    }

    /// The positions of all open events, ascending.
    pub(super) fn positions(&self) -> Vec<u64> {
        self.positions.iter().map(|position| position.get()).collect()
    }
}

/// How long until a moment. One farther off than any wait was set before the clock went back: it is now.
fn left(due: Timestamp, now: Timestamp) -> Duration {
    let wait = due.since(now);
    if wait > STILL_WAIT_MAX { Duration::ZERO } else { wait }
}
