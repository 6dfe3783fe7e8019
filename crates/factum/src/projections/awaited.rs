//! What a token stands for, as a projection can see it: on whichever history it comes.

use std::collections::{BTreeSet, HashMap};

use factum_engine::Position;

use crate::{
    model::{Source, StoreId},
    read::{Checkpoint, Lane},
    store::History,
};

pub(super) type Lanes = HashMap<Lane, Checkpoint>;
/// The newest history known of each store that feeds a projection.
pub(super) type Histories = HashMap<StoreId, History>;

/// The positions that were passed although their messages are parked.
pub(super) type Parked = HashMap<Lane, BTreeSet<Position>>;

/// A message that a projection is to have applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The store that published it.
    pub store: StoreId,
    /// The history that its position belongs to.
    pub history: History,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Its position; [`Position::ZERO`]: nothing to wait for.
    pub position: Position,
}

/// What was waited for is not to be seen, however long it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unseen {
    /// Its history was left below it.
    #[error("its store was restored to position {fork}")]
    Lost {
        /// Up to where its history is the same as the one its store goes on with.
        fork: Position,
    },
    /// It is parked.
    #[error("it is parked")]
    Parked,
}

impl Awaited {
    /// Whether it was dealt with by who is at these checkpoints, in a history in which its position means the same event.
    pub(crate) fn is_dealt_with(&self, lanes: &HashMap<Lane, Checkpoint>) -> bool {
        matches!(self.judge(lanes, &Histories::new(), &Parked::new()), Some(Ok(())))
    }

    /// `None` while it is still to come.
    ///
    /// Applied is what lies at or below a watermark of any history in which its position means the same event: the
    /// one it was recorded in, an ancestor under which it was published, or one that a restore began since.
    pub(super) fn judge(&self, lanes: &Lanes, histories: &Histories, parked: &Parked) -> Option<Result<(), Unseen>> {
        if self.position == Position::ZERO {
            return Some(Ok(()));
        }
        let known = histories.get(&self.store);
        if let Some(known) = known.filter(|known| known.descends_from(&self.history)) {
            let fork = self.history.common_with(known).unwrap_or(Position::ZERO);
            if self.position > fork {
                return Some(Err(Unseen::Lost { fork }));
            }
        }
        let same = |history: &History| self.history.common_with(history).is_some_and(|common| self.position <= common);
        let lane = |history: &History| {
            let source = Source { store: self.store, incarnation: history.incarnation };
            Lane::topic(&source, &self.topic, self.partition)
        };
        let line = self.history.line().chain(known.into_iter().flat_map(History::line));
        let came: Vec<Lane> = line
            .filter(same)
            .map(|history| lane(&history))
            .filter(|lane| lanes.get(lane).is_some_and(|at| at.position >= self.position))
            .collect();
        let is_parked = |lane| parked.get(lane).is_some_and(|positions| positions.contains(&self.position));
        match came.iter().any(is_parked) {
            true => Some(Err(Unseen::Parked)),
            false => (!came.is_empty()).then_some(Ok(())),
        }
    }
}
