//! Queries of an older build, which answer until the read models of this one are whole.

use std::sync::atomic::{AtomicBool, Ordering};

use super::registry::AnyQuery;
use crate::{
    model::ProjectionKey,
    projections::{Phase, Watermarks},
};

/// An older form of a query, and whether the newer one has taken over from it.
pub(super) struct Before {
    pub(super) query: Box<dyn AnyQuery>,
    over: AtomicBool,
}

impl Before {
    pub(super) fn new(query: Box<dyn AnyQuery>) -> Self {
        Self { query, over: AtomicBool::new(false) }
    }

    /// Whether it answers still: until what the newer form reads is whole, has nothing parked, and is nowhere behind what
    /// this one reads, so that nobody is taken back in time. What this one has parked is in nobody's way. From then on
    /// the newer one answers for good.
    pub(super) fn answers(&self, newer: &[ProjectionKey], watermarks: &Watermarks) -> bool {
        if self.over.load(Ordering::Relaxed) {
            return false;
        }
        let older = self.query.reads();
        let whole = |keys: &[ProjectionKey]| keys.iter().all(|key| watermarks.phase(*key) == Phase::Live);
        let parks = || newer.iter().any(|key| watermarks.parks(*key));
        // What is parked on the way is told before that the way is over: asked in this order, none of it is missed.
        if whole(newer) && has_caught_up(newer, older, watermarks) && !parks() {
            tracing::info!(query = self.query.info().name, "its new read models are whole and answer from now on");
            self.over.store(true, Ordering::Relaxed);
            return false;
        }
        // Where this one is not whole either, how far the newer one is is what is to be told.
        whole(older)
    }
}

fn has_caught_up(newer: &[ProjectionKey], older: &[ProjectionKey], watermarks: &Watermarks) -> bool {
    let pairs = older.iter().flat_map(|old| newer.iter().filter(|new| new.name == old.name).map(move |new| (new, old)));
    pairs.into_iter().all(|(new, old)| is_at_least_at(*new, *old, watermarks))
}

fn is_at_least_at(new: ProjectionKey, old: ProjectionKey, watermarks: &Watermarks) -> bool {
    let proofs = watermarks.lanes(old).into_iter().filter(|(lane, at)| lane.is_proof(at));
    proofs.into_iter().all(|(lane, at)| watermarks.position(new, &lane) >= at.position)
}
