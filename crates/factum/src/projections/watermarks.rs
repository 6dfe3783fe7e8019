//! How far each projection is, so that a query can wait for what a token stands for.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use factum_engine::Position;
use tokio::sync::watch;

use super::{
    awaited::{Awaited, Histories, Lanes, Lost},
    moves::Moves,
};
use crate::{
    model::{ProjectionKey, StoreId},
    read::{Checkpoint, Lane},
    store::History,
};

/// What feeds a projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// The service's own event store.
    OwnStore,
    /// Topics of the bus, by name.
    Topics(Vec<String>),
}

/// Whether a projection's read models are whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Filled once: as fresh as its watermarks say.
    #[default]
    Live,
    /// Being filled from the beginning: what is there is only a part.
    Refilling {
        /// Positions done.
        done: u64,
        /// Positions there were to do, when it started.
        total: u64,
    },
}

/// A projection, what feeds it, and its checkpoint on every lane.
type Progress = (ProjectionKey, Feed, Vec<(Lane, Checkpoint)>);

struct Tracked {
    feed: Feed,
    phase: watch::Sender<Phase>,
    seen: watch::Sender<Seen>,
}

#[derive(Default)]
pub(super) struct Seen {
    lanes: Lanes,
    histories: Histories,
}

/// The checkpoints of every running projection of a service, as last committed.
#[derive(Default)]
pub struct Watermarks {
    projections: Mutex<HashMap<ProjectionKey, Tracked>>,
}

impl Watermarks {
    /// Starts tracking a projection; a second call replaces what was known.
    pub fn track(&self, projection: ProjectionKey, feed: Feed, checkpoints: Vec<(Lane, Checkpoint)>) {
        let lanes: Lanes = checkpoints.into_iter().collect();
        let mut projections = self.projections();
        match projections.get_mut(&projection) {
            Some(tracked) => {
                tracked.feed = feed;
                tracked.seen.send_modify(|seen| seen.lanes = lanes);
            }
            None => {
                let seen = watch::Sender::new(Seen { lanes, histories: HashMap::new() });
                projections.insert(projection, Tracked { feed, phase: watch::Sender::default(), seen });
            }
        }
    }

    /// Tells that checkpoints were committed.
    pub fn moved(&self, projection: ProjectionKey, checkpoints: impl IntoIterator<Item = (Lane, Checkpoint)>) {
        if let Some(tracked) = self.projections().get(&projection) {
            tracked.seen.send_modify(|seen| seen.lanes.extend(checkpoints));
        }
    }

    /// Tells in which history a store that feeds a projection goes on. An ancestor of what is known tells nothing.
    pub fn learned(&self, projection: ProjectionKey, store: StoreId, history: History) {
        if let Some(tracked) = self.projections().get(&projection) {
            tracked.seen.send_if_modified(|seen| {
                let is_newer = seen
                    .histories
                    .get(&store)
                    .is_none_or(|known| known.incarnation != history.incarnation && !known.descends_from(&history));
                if is_newer {
                    seen.histories.insert(store, history);
                }
                is_newer
            });
        }
    }

    /// What feeds a projection; `None` when it does not run here.
    pub fn feed(&self, projection: ProjectionKey) -> Option<Feed> {
        self.projections().get(&projection).map(|tracked| tracked.feed.clone())
    }

    /// Tells whether a projection's read models are whole.
    pub fn set_phase(&self, projection: ProjectionKey, phase: Phase) {
        if let Some(tracked) = self.projections().get(&projection) {
            tracked.phase.send_replace(phase);
        }
    }

    /// Whether a projection's read models are whole.
    pub fn phase(&self, projection: ProjectionKey) -> Phase {
        self.projections().get(&projection).map(|tracked| *tracked.phase.borrow()).unwrap_or_default()
    }

    /// Waits until a projection's read models are whole. Bound it from outside.
    pub async fn whole(&self, projection: ProjectionKey) {
        let receiver = self.projections().get(&projection).map(|tracked| tracked.phase.subscribe());
        let Some(mut phase) = receiver else { return };
        // The sender lives in `self`, which outlives this borrow: the wait cannot fail.
        let _ = phase.wait_for(|phase| *phase == Phase::Live).await;
    }

    /// What tells that any of these projections moved; `None` while one of them does not run here.
    pub fn moves(&self, projections: &[ProjectionKey]) -> Option<Moves> {
        let tracked = self.projections();
        let subscribe = |projection: &ProjectionKey| {
            let tracked = tracked.get(projection)?;
            Some((tracked.seen.subscribe(), tracked.phase.subscribe()))
        };
        Some(Moves { projections: projections.iter().map(subscribe).collect::<Option<_>>()? })
    }

    /// Whether a projection has heard of a topic, and only from other stores than this one.
    pub(crate) fn hears_others(&self, projection: ProjectionKey, topic: &str, store: StoreId) -> bool {
        let projections = self.projections();
        let Some(tracked) = projections.get(&projection) else { return false };
        let seen = tracked.seen.borrow();
        let heard = |lane: &Lane| lane.as_topic().filter(|(_, of, _)| *of == topic).map(|(source, ..)| source.store);
        let stores: Vec<StoreId> = seen.lanes.keys().filter_map(heard).collect();
        !stores.is_empty() && !stores.contains(&store)
    }

    /// Where a projection is on a lane; [`Position::ZERO`] before anything came.
    pub fn position(&self, projection: ProjectionKey, lane: &Lane) -> Position {
        self.projections().get(&projection).map_or(Position::ZERO, |tracked| at(&tracked.seen.borrow().lanes, lane))
    }

    /// Every projection with its lanes and checkpoints, for metrics and for settling.
    pub fn all(&self) -> Vec<Progress> {
        let projections = self.projections();
        let mut all: Vec<_> = projections
            .iter()
            .map(|(key, tracked)| {
                let lanes = tracked.seen.borrow().lanes.iter().map(|(lane, at)| (lane.clone(), *at)).collect();
                (*key, tracked.feed.clone(), lanes)
            })
            .collect();
        all.sort_by_key(|(key, _, _)| *key);
        all
    }

    /// Waits until a projection has reached a position on a lane. Bound it from outside.
    pub async fn reached(&self, projection: ProjectionKey, lane: &Lane, position: Position) {
        let receiver = self.projections().get(&projection).map(|tracked| tracked.seen.subscribe());
        let Some(mut seen) = receiver else { return std::future::pending().await };
        // The sender lives in `self`, which outlives this borrow: the wait cannot fail.
        let _ = seen.wait_for(|seen| at(&seen.lanes, lane) >= position).await;
    }

    /// Waits until a projection has applied a message, in whichever history it came. Bound it from outside.
    ///
    /// # Errors
    /// It can never come: its store was restored to before it.
    pub async fn applied(&self, projection: ProjectionKey, message: &Awaited) -> Result<(), Lost> {
        let receiver = self.projections().get(&projection).map(|tracked| tracked.seen.subscribe());
        let Some(mut seen) = receiver else { return std::future::pending().await };
        let mut judged = Ok(());
        let decided = |seen: &Seen| match message.judge(&seen.lanes, &seen.histories) {
            Some(verdict) => {
                judged = verdict;
                true
            }
            None => false,
        };
        // The sender lives in `self`, which outlives this borrow: the wait cannot fail.
        let _ = seen.wait_for(decided).await;
        judged
    }

    fn projections(&self) -> MutexGuard<'_, HashMap<ProjectionKey, Tracked>> {
        self.projections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at(lanes: &Lanes, lane: &Lane) -> Position {
    lanes.get(lane).map_or(Position::ZERO, |checkpoint| checkpoint.position)
}
