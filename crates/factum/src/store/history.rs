//! Histories of a store: what a position means after a restore.

use factum_engine::Position;

use crate::model::Incarnation;

/// A restore: where the history of `parent` was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The incarnation that was left.
    pub parent: Incarnation,
    /// The last position taken over from it.
    pub position: Position,
}

impl Fork {
    /// Up to where a history is the same as that of an ancestor, given the restores that led to it, oldest first;
    /// `None` when it is no ancestor.
    pub fn shared_up_to(lineage: &[Self], ancestor: Incarnation) -> Option<Position> {
        let from = lineage.iter().position(|fork| fork.parent == ancestor)?;
        // Later forks may lie before it.
        lineage[from..].iter().map(|fork| fork.position).min()
    }
}

/// One unbroken history of a store, and the restores that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Which history.
    pub incarnation: Incarnation,
    /// The restores that led to it, oldest first; the oldest ones may be left out.
    pub lineage: Vec<Fork>,
}

impl History {
    /// This history, then its ancestors, the newest first.
    pub fn line(&self) -> impl Iterator<Item = Self> {
        let ancestor =
            |(index, fork): (usize, &Fork)| Self { incarnation: fork.parent, lineage: self.lineage[..index].to_vec() };
        std::iter::once(self.clone()).chain(self.lineage.iter().enumerate().rev().map(ancestor))
    }

    /// Whether this history came out of the other one by one or more restores.
    pub fn descends_from(&self, other: &Self) -> bool {
        self.lineage.iter().any(|fork| fork.parent == other.incarnation)
    }

    /// Up to where two histories are the same: a position up to there means the same event in both. `None` when
    /// neither knows of anything they have in common.
    ///
    /// ```
    /// use factum::{model::Incarnation, store::{Fork, History, Position}};
    /// let named = |number| Incarnation::from_uuid(uuid::Uuid::from_u128(number));
    /// let first = History { incarnation: named(1), lineage: Vec::new() };
    /// let fork = Fork { parent: named(1), position: Position::new(5) };
    /// let restored = History { incarnation: named(2), lineage: vec![fork] };
    /// assert_eq!(first.common_with(&restored), Some(Position::new(5)));
    /// assert_eq!(first.common_with(&first), Some(Position::MAX));
    /// ```
    pub fn common_with(&self, other: &Self) -> Option<Position> {
        let known = self.lineage.iter().map(|fork| fork.parent).chain([self.incarnation]);
        known.filter_map(|incarnation| Some(self.up_to(incarnation)?.min(other.up_to(incarnation)?))).max()
    }

    fn up_to(&self, incarnation: Incarnation) -> Option<Position> {
        if incarnation == self.incarnation {
            return Some(Position::MAX);
        }
        Fork::shared_up_to(&self.lineage, incarnation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(incarnation: u128, forks: &[(u128, u64)]) -> History {
        let named = |number| Incarnation::from_uuid(uuid::Uuid::from_u128(number));
        let fork = |(parent, at): &(u128, u64)| Fork { parent: named(*parent), position: Position::new(*at) };
        History { incarnation: named(incarnation), lineage: forks.iter().map(fork).collect() }
    }

    #[test]
    fn two_histories_are_the_same_up_to_where_they_parted() {
        let first = history(1, &[]);
        let second = history(2, &[(1, 9)]);
        let third = history(3, &[(1, 9), (2, 4)]);
        // Restored from the first one as well, by somebody who did not know of the second.
        let twin = history(4, &[(1, 6)]);
        for (one, other, common) in [
            (&first, &second, Some(9)),
            (&first, &third, Some(4)),
            (&second, &third, Some(4)),
            (&second, &twin, Some(6)),
            (&third, &twin, Some(4)),
            (&first, &history(7, &[]), None),
            (&second, &history(7, &[(6, 3)]), None),
        ] {
            assert_eq!(one.common_with(other), common.map(Position::new));
            assert_eq!(other.common_with(one), common.map(Position::new));
        }
        assert!(third.descends_from(&first) && !first.descends_from(&third) && !twin.descends_from(&second));
        assert_eq!(third.line().collect::<Vec<_>>(), [third.clone(), second, first]);
    }
}
