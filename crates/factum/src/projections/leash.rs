//! What keeps one generation of a read model from getting ahead of the one that answers, and from crowding it out.

use std::{sync::Arc, time::Duration};

use super::{Turn, Turns, Watermarks, pace, share::Share};
use crate::{
    bus::{Offset, TopicPartition},
    model::ProjectionKey,
    read::Lane,
    runtime::{Runtime, Stop},
    store::Position,
};

/// Of a generation that is filled beside the one that answers.
#[derive(Clone)]
pub(crate) struct Leash {
    /// How far the generation that answers is: this one gets no farther, so that both are at the same place whenever that
    /// one rests. Else it only takes its turns.
    pub(crate) holds: bool,
    pub(crate) watermarks: Arc<Watermarks>,
    pub(crate) projection: ProjectionKey,
    /// Shared with the other generations of the service that are filled beside those that answer.
    pub(crate) turns: Turns,
    /// How much of the time it works.
    pub(crate) share: Share,
}

/// What a generation on a leash has done in one transaction.
pub(crate) struct Work {
    pub(crate) took: Duration,
    /// Events or records.
    pub(crate) done: u64,
    /// How many are left of those that were there when it began.
    pub(crate) left: u64,
}

impl Leash {
    /// Waits until it may work on what it has: as long as it fills, for its turn, until no other generation does. Dropping
    /// the future, and what it returns, gives the turn up.
    pub(crate) async fn turn(&self, fills: bool, runtime: &Runtime) -> Option<Turn> {
        self.share.begins(runtime.now());
        if fills { Some(self.turns.take().await) } else { None }
    }

    /// Pauses after a transaction, until told to stop. `own`: how far it is by now. How much of the time it works from now on.
    pub(crate) async fn pause(&self, work: Work, own: &Watermarks, runtime: &Runtime, stop: &mut Stop) -> u32 {
        let Work { took, done, left } = work;
        let left = || self.left(own).max(left);
        let share = self.share.worked(self.turns.pace().share(), runtime.now(), done, left);
        let _ = stop.unless(runtime.sleep(pace::pause(took, share))).await;
        self.share.paused(runtime.now());
        share
    }

    /// How much of the time it works at present, at most, in percent.
    pub(crate) fn share_percent(&self) -> u32 {
        self.share.percent().max(self.turns.pace().share())
    }

    /// How far it is behind the generation that answers, in events or records.
    fn left(&self, own: &Watermarks) -> u64 {
        let lanes = self.watermarks.lanes(self.projection);
        let places = lanes.iter().filter(|(lane, _)| lane.is_place());
        let behind = places.map(|(lane, at)| {
            let own = own.position(self.projection, lane);
            at.position.get().saturating_sub(own.get())
        });
        behind.sum()
    }

    /// The first offset of a partition that is out of reach.
    pub(crate) fn offset(&self, partition: &TopicPartition) -> Offset {
        if !self.holds {
            return Offset::new(u64::MAX);
        }
        Offset::new(self.watermarks.position(self.projection, &offset_lane(partition)).get())
    }

    /// The last position of the own store within reach.
    pub(crate) fn position(&self) -> Position {
        if !self.holds {
            return Position::new(u64::MAX);
        }
        self.watermarks.position(self.projection, &Lane::own_store())
    }

    /// Waits until a position of the own store that is out of reach may be passed.
    pub(crate) async fn beyond(&self, position: Position) {
        if self.holds {
            self.watermarks.passed(self.projection, &[(Lane::own_store(), position)]).await;
        }
    }

    /// Waits until one of these records comes within reach.
    pub(crate) async fn reaches<'a>(&self, held: impl Iterator<Item = (&'a TopicPartition, &'a Offset)>) {
        let held: Vec<_> =
            held.map(|(partition, offset)| (offset_lane(partition), Position::new(offset.get()))).collect();
        self.watermarks.passed(self.projection, &held).await;
    }
}

fn offset_lane(partition: &TopicPartition) -> Lane {
    Lane::offset(&partition.topic, partition.partition)
}
