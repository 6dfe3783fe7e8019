//! What keeps one generation of a read model from getting ahead of the one that answers.

use std::sync::Arc;

use super::{Turn, Turns, Watermarks};
use crate::{
    bus::{Offset, TopicPartition},
    model::ProjectionKey,
    read::Lane,
    store::Position,
};

/// How far the generation that answers is: another one gets no farther, so that both are at the same place whenever
/// that one rests.
#[derive(Clone)]
pub(crate) struct Leash {
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
        Offset::new(self.watermarks.position(self.projection, &offset_lane(partition)).get())
    }

    /// The last position of the own store within reach.
    pub(crate) fn position(&self) -> Position {
        self.watermarks.position(self.projection, &Lane::own_store())
    }

    /// Waits until a position of the own store that is out of reach may be passed.
    pub(crate) async fn beyond(&self, position: Position) {
        self.watermarks.passed(self.projection, &[(Lane::own_store(), position)]).await;
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
