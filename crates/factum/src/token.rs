//! A receipt made opaque and portable: a query can wait for it.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use factum_engine::Position;
use serde::{Deserialize, Serialize};

use crate::{
    bus::LINEAGE_MAX,
    model::{Incarnation, Source, StoreId},
    store::{Fork, History, Identity},
};

/// What a query must be able to see: one append, and for each topic of the service the message it led to.
///
/// Opaque text to callers, safe in headers and URLs, at most [`Token::TEXT_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The store that appended.
    pub source: Source,
    /// The restores that led to its history, oldest first, at most [`LINEAGE_MAX`], the newest ones: a position
    /// means the same in every history up to where they parted.
    pub lineage: Vec<Fork>,
    /// The last position of the append.
    pub position: Position,
    /// For each topic the service publishes on, what the append's stream led to there.
    pub topics: Vec<TopicMark>,
}

/// The highest position that an append publishes on one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicMark {
    /// The topic.
    #[serde(rename = "t")]
    pub topic: String,
    /// The partition of the append's stream.
    #[serde(rename = "n")]
    pub partition: u32,
    /// The position to wait for; 0 when nothing is published there.
    #[serde(rename = "p")]
    pub position: u64,
}

/// The text is no token of this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no token: use what `Factum-Token` or a receipt said, unchanged")]
pub struct InvalidToken;

#[derive(Serialize, Deserialize)]
struct Wire {
    s: StoreId,
    i: Incarnation,
    p: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    l: Vec<(Incarnation, u64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    t: Vec<TopicMark>,
}

impl Token {
    /// The longest token, as text.
    pub const TEXT_BYTES_MAX: usize = 4_096;

    /// What an append of a store led to.
    pub fn of(store: &Identity, position: Position, topics: Vec<TopicMark>) -> Self {
        let forks = &store.forks;
        let lineage = forks[forks.len().saturating_sub(LINEAGE_MAX)..].to_vec();
        Self { source: store.source(), lineage, position, topics }
    }

    /// The history its positions belong to.
    pub fn history(&self) -> History {
        History { incarnation: self.source.incarnation, lineage: self.lineage.clone() }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = Wire {
            s: self.source.store,
            i: self.source.incarnation,
            p: self.position.get(),
            l: self.lineage.iter().map(|fork| (fork.parent, fork.position.get())).collect(),
            t: self.topics.clone(),
        };
        let json = serde_json::to_vec(&wire).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::TEXT_BYTES_MAX {
            return Err(InvalidToken);
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidToken)?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| InvalidToken)?;
        if wire.l.len() > LINEAGE_MAX {
            return Err(InvalidToken);
        }
        let source = Source { store: wire.s, incarnation: wire.i };
        let fork = |(parent, position)| Fork { parent, position: Position::new(position) };
        let lineage = wire.l.into_iter().map(fork).collect();
        Ok(Self { source, lineage, position: Position::new(wire.p), topics: wire.t })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_own_text_and_garbage_is_refused() {
        let named = |number| Incarnation::from_uuid(uuid::Uuid::from_u128(number));
        let fork = |number: u64| Fork { parent: named(number.into()), position: Position::new(number) };
        let mut token = Token {
            source: Source { store: StoreId::from_uuid(uuid::Uuid::from_u128(1)), incarnation: named(99) },
            lineage: (1..=LINEAGE_MAX as u64).map(fork).collect(),
            position: Position::new(17),
            topics: vec![TopicMark { topic: "bank.accounts.account.events".into(), partition: 3, position: 17 }],
        };
        assert_eq!(token.to_string().parse().as_ref(), Ok(&token));
        token.lineage.push(fork(17));
        assert_eq!(token.to_string().parse::<Token>(), Err(InvalidToken));
        for text in ["", "garbage", "e30", &"A".repeat(5_000)] {
            assert_eq!(text.parse::<Token>(), Err(InvalidToken));
        }
    }
}
