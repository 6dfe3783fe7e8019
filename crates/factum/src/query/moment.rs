//! How far the projections behind an answer were when it was given.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use factum_engine::Position;
use serde::{Deserialize, Serialize};

use crate::{
    model::{Incarnation, Source, StoreId},
    read::{Checkpoint, Lane},
};

/// A moment of the read models behind a query: no earlier than what an answer was made of. Another instance that has
/// come to it shows nothing older than that answer.
///
/// Opaque text to callers, safe in headers; at most [`Moment::TEXT_BYTES_MAX`] bytes are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    pub(super) projections: Vec<Reached>,
}

/// How far one projection was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reached {
    /// Its name; another version of it has the same sources.
    #[serde(rename = "n")]
    pub(super) name: String,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(super) own: Option<(Incarnation, u64)>,
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) topics: Vec<Heard>,
}

/// How far a projection was with what one source published on one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heard {
    #[serde(rename = "n")]
    pub(super) topic: String,
    #[serde(rename = "s")]
    pub(super) store: StoreId,
    #[serde(rename = "i")]
    pub(super) incarnation: Incarnation,
    /// Partition and position.
    #[serde(rename = "p")]
    pub(super) partitions: Vec<(u32, u64)>,
}

/// The text is no moment of this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no moment: send what the `id` of an event said, unchanged")]
pub struct InvalidMoment;

impl Moment {
    /// The longest moment that is read, as text. One that is longer cannot be come back to.
    pub const TEXT_BYTES_MAX: usize = 8 << 10;
}

impl Reached {
    pub(super) fn of(name: &str, checkpoints: Vec<(Lane, Checkpoint)>) -> Self {
        let mut reached = Self { name: name.to_owned(), own: None, topics: Vec::new() };
        for (lane, Checkpoint { position, incarnation, .. }) in checkpoints {
            if lane == Lane::own_store() {
                reached.own = Some((incarnation, position.get()));
            } else if let Some((source, topic, partition)) = lane.as_topic() {
                reached.hear(source, topic, (partition, position.get()));
            }
        }
        reached
    }

    fn hear(&mut self, source: Source, topic: &str, at: (u32, u64)) {
        let Source { store, incarnation } = source;
        let same =
            |heard: &&mut Heard| (heard.store, heard.incarnation) == (store, incarnation) && heard.topic == topic;
        match self.topics.iter_mut().find(same) {
            Some(heard) => heard.partitions.push(at),
            None => self.topics.push(Heard { topic: topic.to_owned(), store, incarnation, partitions: vec![at] }),
        }
    }
}

impl Heard {
    /// Each partition with the position to reach on it.
    pub(super) fn marks(&self) -> impl Iterator<Item = (u32, Position)> + '_ {
        self.partitions.iter().map(|(partition, position)| (*partition, Position::new(*position)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(&self.projections).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::TEXT_BYTES_MAX {
            return Err(InvalidMoment);
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidMoment)?;
        let projections = serde_json::from_slice(&json).map_err(|_| InvalidMoment)?;
        Ok(Self { projections })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn source(number: u128) -> Source {
        let id = Uuid::from_u128(number);
        Source { store: StoreId::from_uuid(id), incarnation: Incarnation::from_uuid(id) }
    }

    #[test]
    fn a_moment_survives_its_own_text_and_garbage_is_refused() {
        let at = |lane: Lane, position| {
            let incarnation = source(1).incarnation;
            (lane, Checkpoint { position: Position::new(position), incarnation, event_id: None })
        };
        let topic = "bank.accounts.account.events";
        let lanes = (0..12).map(|partition| at(Lane::topic(&source(1), topic, partition), 1_000_000));
        let other = [
            at(Lane::topic(&source(2), topic, 3), 7),
            at(Lane::own_store(), 5),
            at(Lane::whole_from(), 1),
            at(Lane::offset(topic, 3), 9),
        ];
        let moment = Moment { projections: vec![Reached::of("summaries", lanes.chain(other).collect())] };
        assert_eq!(moment.to_string().parse().as_ref(), Ok(&moment));
        assert!(moment.to_string().len() < 1_000, "{}", moment.to_string().len());
        let [reached] = moment.projections.as_slice() else { panic!("one was put in") };
        assert_eq!(reached.own, Some((source(1).incarnation, 5)));
        let partitions: Vec<usize> = reached.topics.iter().map(|heard| heard.partitions.len()).collect();
        assert_eq!(partitions, [12, 1], "what is no watermark is left out");
        for text in ["", "garbage", "e30", &"A".repeat(9_000)] {
            assert_eq!(text.parse::<Moment>(), Err(InvalidMoment), "{text}");
        }
    }
}
