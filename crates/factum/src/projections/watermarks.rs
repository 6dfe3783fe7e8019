//! How far each projection is, so that a query can wait for what a token stands for.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use factum_engine::Position;
use tokio::sync::watch;

use super::{
    awaited::{Awaited, Histories, Lanes, Parked, Unseen},
    moves::Moves,
};
use crate::{
    model::{ProjectionKey, StoreId, Timestamp},
    quarantine::Changes,
    read::{Checkpoint, Lane, ReadError},
    runtime::Runtime,
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

/// How far a refill is, and how long it may take yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Positions done.
    pub done: u64,
    /// Positions there were to do, when it started; 0 while that is not known yet.
    pub total: u64,
    /// Positions a second, since it started or was taken up again; 0 while nothing is known of it.
    pub rate: u64,
    /// How long the rest takes at this rate.
    pub left: Option<Duration>,
}

/// When a refill was first heard of, and how far it was then.
#[derive(Clone, Copy)]
struct Began {
    at: Timestamp,
    done: u64,
}

impl Began {
    fn progress(self, done: u64, total: u64, now: Timestamp) -> Progress {
        let took = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let rate = done.saturating_sub(self.done).saturating_mul(1_000).checked_div(took).unwrap_or(0);
        let left = total.saturating_sub(done).saturating_mul(1_000).checked_div(rate).map(Duration::from_millis);
        Progress { done, total, rate, left }
    }
}

/// A projection, what feeds it, and its checkpoint on every lane.
type Tracking = (ProjectionKey, Feed, Vec<(Lane, Checkpoint)>);

struct Tracked {
    feed: Feed,
    phase: watch::Sender<Phase>,
    /// What it knows was in this life of the read store, which is begun anew.
    lost: Option<u64>,
    /// Of the refill under way.
    began: Option<Began>,
    seen: watch::Sender<Seen>,
}

#[derive(Default)]
pub(super) struct Seen {
    lanes: Lanes,
    histories: Histories,
    parked: Parked,
}

/// The checkpoints of every running projection of a service, as last committed.
pub struct Watermarks {
    projections: Mutex<HashMap<ProjectionKey, Tracked>>,
    /// Damage that a query met, and in which life of the read store.
    damage: watch::Sender<Option<(u64, String)>>,
    runtime: Runtime,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self::new(Runtime::tokio())
    }
}

impl Watermarks {
    /// Nothing is tracked yet. The runtime tells how fast a refill goes.
    pub fn new(runtime: Runtime) -> Self {
        Self { projections: Mutex::default(), damage: watch::Sender::default(), runtime }
    }

    /// Tells that the read store is damaged and is to be begun anew, which was in this life then. From now on every
    /// projection counts as being refilled, until [`Watermarks::begun_anew`].
    pub(crate) fn damaged(&self, life: u64, damage: &ReadError) {
        let mut projections = self.projections();
        let is_new = self.damage.send_if_modified(|known| {
            let is_new = known.as_ref().is_none_or(|(seen, _)| *seen < life);
            if is_new {
                *known = Some((life, damage.to_string()));
            }
            is_new
        });
        if is_new {
            for tracked in projections.values_mut() {
                tracked.lost = Some(life);
                tracked.phase.send_replace(Phase::Refilling { done: 0, total: 0 });
            }
        }
    }

    /// Tells that a projection is fed into a read store that was begun anew: nothing is there yet.
    pub(crate) fn begun_anew(&self, projection: ProjectionKey) {
        if let Some(tracked) = self.projections().get_mut(&projection) {
            (tracked.lost, tracked.began) = (None, None);
            tracked.seen.send_modify(|seen| seen.lanes.clear());
            tracked.phase.send_replace(Phase::Refilling { done: 0, total: 0 });
        }
    }

    /// Tells that a projection is about to be fed into a read store that is in this life: one that was begun anew while
    /// nothing was fed has nothing of it.
    pub(crate) fn fed_in(&self, projection: ProjectionKey, life: u64) {
        let lost = self.projections().get(&projection).and_then(|tracked| tracked.lost);
        if lost.is_some_and(|lost| lost < life) {
            self.begun_anew(projection);
        }
    }

    /// Waits until a query has met damage in a read store that is in this life.
    pub(crate) async fn damage(&self, life: u64) -> String {
        let mut damage = self.damage.subscribe();
        // The sender lives in `self`: the wait cannot fail.
        let found = damage.wait_for(|found| found.as_ref().is_some_and(|(seen, _)| *seen == life)).await;
        found.ok().and_then(|found| found.as_ref().map(|(_, text)| text.clone())).unwrap_or_default()
    }

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
                let seen = watch::Sender::new(Seen { lanes, ..Seen::default() });
                projections.insert(
                    projection,
                    Tracked { feed, phase: watch::Sender::default(), lost: None, began: None, seen },
                );
            }
        }
    }

    /// Tells that checkpoints were committed.
    pub fn moved(&self, projection: ProjectionKey, checkpoints: impl IntoIterator<Item = (Lane, Checkpoint)>) {
        if let Some(tracked) = self.projections().get(&projection) {
            tracked.seen.send_modify(|seen| seen.lanes.extend(checkpoints));
        }
    }

    /// Tells what is parked, all of it.
    pub(crate) fn set_parked(&self, projection: ProjectionKey, places: impl Iterator<Item = (Lane, Position)>) {
        if let Some(tracked) = self.projections().get(&projection) {
            let mut parked = Parked::new();
            for (lane, position) in places {
                parked.entry(lane).or_default().insert(position);
            }
            tracked.seen.send_if_modified(|seen| {
                let is_new = seen.parked != parked;
                seen.parked = parked;
                is_new
            });
        }
    }

    /// Tells what was parked, and what is no longer.
    pub(crate) fn parked(&self, projection: ProjectionKey, changes: Changes) {
        if let Some(tracked) = self.projections().get(&projection) {
            tracked.seen.send_modify(|seen| {
                for (lane, position) in changes.parked {
                    seen.parked.entry(lane).or_default().insert(position);
                }
                for (lane, position) in changes.released {
                    if let Some(positions) = seen.parked.get_mut(&lane) {
                        positions.remove(&position);
                    }
                }
            });
        }
    }

    /// Whether a message is parked that a watermark has passed.
    pub(crate) fn is_parked(&self, projection: ProjectionKey, lane: &Lane, position: Position) -> bool {
        self.projections().get(&projection).is_some_and(|tracked| {
            tracked.seen.borrow().parked.get(lane).is_some_and(|positions| positions.contains(&position))
        })
    }

    /// Whether a projection has anything parked.
    pub(crate) fn parks(&self, projection: ProjectionKey) -> bool {
        self.projections()
            .get(&projection)
            .is_some_and(|tracked| tracked.seen.borrow().parked.values().any(|positions| !positions.is_empty()))
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
        let now = self.runtime.now();
        if let Some(tracked) = self.projections().get_mut(&projection).filter(|tracked| tracked.lost.is_none()) {
            tracked.began = match phase {
                Phase::Live => None,
                // Until the total is known, nothing is being done yet.
                Phase::Refilling { total: 0, .. } => tracked.began,
                Phase::Refilling { done, .. } => tracked.began.or(Some(Began { at: now, done })),
            };
            tracked.phase.send_replace(phase);
        }
    }

    /// How far a projection's refill is; `None` when its read models are whole.
    pub fn progress(&self, projection: ProjectionKey) -> Option<Progress> {
        let projections = self.projections();
        let tracked = projections.get(&projection)?;
        let Phase::Refilling { done, total } = *tracked.phase.borrow() else { return None };
        let began = tracked.began.unwrap_or(Began { at: self.runtime.now(), done });
        Some(began.progress(done, total, self.runtime.now()))
    }

    /// The checkpoints of a projection.
    pub(crate) fn lanes(&self, projection: ProjectionKey) -> Vec<(Lane, Checkpoint)> {
        let lanes =
            |tracked: &Tracked| tracked.seen.borrow().lanes.iter().map(|(lane, at)| (lane.clone(), *at)).collect();
        self.projections().get(&projection).map(lanes).unwrap_or_default()
    }

    /// Waits until a projection has passed one of these positions. Bound it from outside.
    pub(crate) async fn passed(&self, projection: ProjectionKey, lanes: &[(Lane, Position)]) {
        let receiver = self.projections().get(&projection).map(|tracked| tracked.seen.subscribe());
        let Some(mut seen) = receiver else { return std::future::pending().await };
        // The sender lives in `self`, which outlives this borrow: the wait cannot fail.
        let _ = seen.wait_for(|seen| lanes.iter().any(|(lane, position)| at(&seen.lanes, lane) > *position)).await;
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
    pub fn all(&self) -> Vec<Tracking> {
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
    /// It can never come: its store was restored to before it; or it came, and is parked.
    pub async fn applied(&self, projection: ProjectionKey, message: &Awaited) -> Result<(), Unseen> {
        let receiver = self.projections().get(&projection).map(|tracked| tracked.seen.subscribe());
        let Some(mut seen) = receiver else { return std::future::pending().await };
        let mut judged = Ok(());
        let decided = |seen: &Seen| match message.judge(&seen.lanes, &seen.histories, &seen.parked) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_that_rested_while_the_read_store_was_begun_anew_becomes_whole_again() {
        let (watermarks, key) = (Watermarks::default(), ProjectionKey { name: "sums", version: 1 });
        watermarks.track(key, Feed::OwnStore, Vec::new());
        let damage = ReadError::Damaged { place: "a page".to_owned(), source: "garbage".into() };
        watermarks.damaged(0, &damage);
        watermarks.fed_in(key, 0);
        watermarks.set_phase(key, Phase::Live);
        assert_ne!(watermarks.phase(key), Phase::Live, "the damaged store is no whole one");
        watermarks.fed_in(key, 1);
        watermarks.set_phase(key, Phase::Live);
        assert_eq!(watermarks.phase(key), Phase::Live);
    }
}
