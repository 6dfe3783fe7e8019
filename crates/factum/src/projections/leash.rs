//! What keeps one generation of a read model from getting ahead of the one that answers, and from crowding it out.

use std::sync::Arc;

use super::{Turn, Turns, Watermarks};
use crate::{
    bus::{Offset, TopicPartition},
    model::ProjectionKey,
    read::Lane,
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
}

impl Leash {
    /// Waits until no other generation is being filled. Dropping the future, and what it returns, gives the turn up.
    pub(crate) async fn turn(&self) -> Turn {
        self.turns.take().await
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
