//! Which events a read or a condition is about.

use std::borrow::Cow;
use std::fmt;

use crate::names::{self, InvalidName, Tag};
use crate::numbers::Position;

/// Clauses one selection may have.
pub const SELECTION_CLAUSES_MAX: usize = 32;
/// Event names one clause may list.
pub const CLAUSE_NAMES_MAX: usize = 64;
/// Tags one clause may ask for: as many as one event may carry.
pub const CLAUSE_TAGS_MAX: usize = crate::EVENT_TAGS_MAX;

/// Events that carry one of these names and all of these tags.
///
/// Without names, every name will do; without tags, every event of these names. A clause without either matches
/// every event.
///
/// ```
/// use factum_engine::{Clause, Tag};
///
/// let clause = Clause::names(["account.opened", "account.closed"]).tag(Tag::new("holder:ada")?);
/// assert!(clause.matches("account.opened", ["bank:1", "holder:ada"].into_iter()));
/// assert!(!clause.matches("account.opened", ["holder:bob"].into_iter()));
/// assert!(!clause.matches("account.frozen", ["holder:ada"].into_iter()));
/// # Ok::<(), factum_engine::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Clause {
    names: Vec<Cow<'static, str>>,
    tags: Vec<Tag>,
}

impl Clause {
    /// Every event.
    #[must_use]
    pub const fn everything() -> Self {
        Clause { names: Vec::new(), tags: Vec::new() }
    }

    /// Events of any of these names; without one, of every name. At most [`CLAUSE_NAMES_MAX`].
    #[must_use]
    pub fn names(names: impl IntoIterator<Item = impl Into<Cow<'static, str>>>) -> Self {
        Clause { names: names.into_iter().map(Into::into).collect(), tags: Vec::new() }
    }

    /// Events that carry all of these tags. At most [`CLAUSE_TAGS_MAX`].
    #[must_use]
    pub fn tags(tags: impl IntoIterator<Item = Tag>) -> Self {
        Clause::everything().and_tags(tags)
    }

    /// And one more name that will do.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.names.push(name.into());
        self
    }

    /// And this tag as well.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    /// And these tags as well.
    #[must_use]
    pub fn and_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// The names, in the order they were given; empty when every name will do.
    #[must_use]
    pub fn event_names(&self) -> &[Cow<'static, str>] {
        &self.names
    }

    /// The tags, in the order they were given; empty when none is asked for.
    #[must_use]
    pub fn event_tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Whether it matches every event.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.names.is_empty() && self.tags.is_empty()
    }

    /// Whether an event of this name with these tags is among them.
    pub fn matches<'a>(&self, name: &str, tags: impl Iterator<Item = &'a str> + Clone) -> bool {
        let named = self.names.is_empty() || self.names.iter().any(|one| one == name);
        named && self.tags.iter().all(|tag| tags.clone().any(|one| one == tag.as_str()))
    }
}

/// Events that match any of its clauses. Nothing is checked before it is used: [`Selection::check`].
///
/// ```
/// use factum_engine::{Clause, Selection, Tag};
///
/// let selection = Selection::of(Clause::names(["account.opened"])).or(Clause::tags([Tag::new("holder:ada")?]));
/// assert_eq!(selection.first_match("account.closed", ["holder:ada"].into_iter()), Some(1));
/// assert!(Selection::everything().matches("anything", [].into_iter()));
/// # Ok::<(), factum_engine::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    /// At least one.
    clauses: Vec<Clause>,
}

impl Default for Selection {
    fn default() -> Self {
        Selection::everything()
    }
}

impl From<Clause> for Selection {
    fn from(clause: Clause) -> Self {
        Selection::of(clause)
    }
}

impl Selection {
    /// Every event: one clause that asks for nothing.
    #[must_use]
    pub fn everything() -> Self {
        Selection::of(Clause::everything())
    }

    /// Events that match this clause.
    #[must_use]
    pub fn of(clause: Clause) -> Self {
        Selection { clauses: vec![clause] }
    }

    /// And events that match this one. At most [`SELECTION_CLAUSES_MAX`].
    #[must_use]
    pub fn or(mut self, clause: Clause) -> Self {
        self.clauses.push(clause);
        self
    }

    /// The clauses, in the order they were given; at least one.
    #[must_use]
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Whether it matches every event.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.clauses.iter().any(Clause::is_everything)
    }

    /// Whether an event of this name with these tags is among them.
    pub fn matches<'a>(&self, name: &str, tags: impl Iterator<Item = &'a str> + Clone) -> bool {
        self.first_match(name, tags).is_some()
    }

    /// The first clause an event of this name with these tags matches, counted from 0.
    pub fn first_match<'a>(&self, name: &str, tags: impl Iterator<Item = &'a str> + Clone) -> Option<usize> {
        self.clauses.iter().position(|clause| clause.matches(name, tags.clone()))
    }

    /// Checks it against the limits, and its names against the rules for event names: done by every call that takes
    /// one.
    ///
    /// # Errors
    /// See [`InvalidSelection`].
    pub fn check(&self) -> Result<(), InvalidSelection> {
        if self.clauses.len() > SELECTION_CLAUSES_MAX {
            return Err(InvalidSelection::TooManyClauses { found: self.clauses.len() });
        }
        for (number, clause) in self.clauses.iter().enumerate() {
            if clause.names.len() > CLAUSE_NAMES_MAX {
                return Err(InvalidSelection::TooManyNames { clause: number, found: clause.names.len() });
            }
            if clause.tags.len() > CLAUSE_TAGS_MAX {
                return Err(InvalidSelection::TooManyTags { clause: number, found: clause.tags.len() });
            }
            for name in &clause.names {
                names::check_event_name(name)
                    .map_err(|invalid| InvalidSelection::InvalidName { clause: number, invalid })?;
            }
        }
        Ok(())
    }
}

/// Why a selection is refused. Clauses are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSelection {
    /// More than [`SELECTION_CLAUSES_MAX`] clauses.
    TooManyClauses {
        /// How many it has.
        found: usize,
    },
    /// A clause with more than [`CLAUSE_NAMES_MAX`] names.
    TooManyNames {
        /// Which clause.
        clause: usize,
        /// How many it has.
        found: usize,
    },
    /// A clause with more than [`CLAUSE_TAGS_MAX`] tags.
    TooManyTags {
        /// Which clause.
        clause: usize,
        /// How many it has.
        found: usize,
    },
    /// A name that no event can have.
    InvalidName {
        /// Which clause.
        clause: usize,
        /// What is wrong with it.
        invalid: InvalidName,
    },
}

impl fmt::Display for InvalidSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidSelection::TooManyClauses { found } => {
                write!(f, "the selection has {found} clauses, the limit is {SELECTION_CLAUSES_MAX}")
            }
            InvalidSelection::TooManyNames { clause, found } => {
                write!(f, "clause {clause} has {found} event names, the limit is {CLAUSE_NAMES_MAX}")
            }
            InvalidSelection::TooManyTags { clause, found } => {
                write!(f, "clause {clause} has {found} tags, the limit is {CLAUSE_TAGS_MAX}")
            }
            InvalidSelection::InvalidName { clause, invalid } => {
                write!(f, "clause {clause} names an event that cannot be: {invalid}")
            }
        }
    }
}

impl std::error::Error for InvalidSelection {}

/// What a decision was made on: no event that matches `selection` stands behind position `after`.
///
/// `after` is the position up to which the selection was read ([`Page::read_to`](crate::Page::read_to)).
/// [`Position::ZERO`] asks that there is no such event at all.
///
/// It is judged against everything written. With a weaker [`Durability`](crate::Durability) that is more than
/// [`Engine::read`](crate::Engine::read) shows: who is refused for an event that was not to be seen yet calls
/// [`Engine::sync`](crate::Engine::sync) before reading again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Boundary {
    /// Which events would have changed the decision.
    pub selection: Selection,
    /// Up to where they were read.
    pub after: Position,
}

impl Boundary {
    /// No event of the selection behind a position.
    #[must_use]
    pub fn new(selection: impl Into<Selection>, after: Position) -> Self {
        Boundary { selection: selection.into(), after }
    }

    /// No event of the selection at all.
    #[must_use]
    pub fn nothing_like(selection: impl Into<Selection>) -> Self {
        Boundary::new(selection, Position::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Tag {
        Tag::new(text).expect("valid")
    }

    #[test]
    fn a_clause_wants_any_of_its_names_and_all_of_its_tags() {
        let clause = Clause::names(["a", "b"]).tag(tag("k:1")).tag(tag("k:2"));
        assert!(clause.matches("b", ["k:2", "x:1", "k:1"].into_iter()));
        assert!(!clause.matches("b", ["k:2"].into_iter()));
        assert!(!clause.matches("c", ["k:1", "k:2"].into_iter()));
        assert!(Clause::names(["a"]).matches("a", [].into_iter()));
        assert!(Clause::tags([tag("k:1")]).matches("whatever", ["k:1"].into_iter()));
        assert!(Clause::everything().matches("whatever", [].into_iter()));
        assert!(!Clause::names(["a"]).matches("A", [].into_iter()));
    }

    #[test]
    fn a_selection_says_which_clause_matches_first() {
        let selection = Selection::of(Clause::names(["a"])).or(Clause::tags([tag("k:1")])).or(Clause::names(["b"]));
        assert_eq!(selection.first_match("b", ["k:1"].into_iter()), Some(1));
        assert_eq!(selection.first_match("b", [].into_iter()), Some(2));
        assert_eq!(selection.first_match("c", [].into_iter()), None);
        assert!(!selection.is_everything());
        assert!(selection.or(Clause::everything()).is_everything());
        assert_eq!(Selection::default(), Selection::everything());
    }

    #[test]
    fn limits_and_names_are_checked() {
        let many = |count: usize| (0..count).map(|number| format!("n{number}"));
        assert!(Selection::of(Clause::names(many(CLAUSE_NAMES_MAX))).check().is_ok());
        let names = Selection::everything().or(Clause::names(many(CLAUSE_NAMES_MAX + 1)));
        assert_eq!(names.check(), Err(InvalidSelection::TooManyNames { clause: 1, found: CLAUSE_NAMES_MAX + 1 }));
        let tags = Selection::of(Clause::tags(vec![tag("k:1"); CLAUSE_TAGS_MAX + 1]));
        assert_eq!(tags.check(), Err(InvalidSelection::TooManyTags { clause: 0, found: CLAUSE_TAGS_MAX + 1 }));
        let clauses = (0..SELECTION_CLAUSES_MAX).fold(Selection::everything(), |all, _| all.or(Clause::everything()));
        assert_eq!(clauses.check(), Err(InvalidSelection::TooManyClauses { found: SELECTION_CLAUSES_MAX + 1 }));
        for wrong in ["", "a\0b", &"x".repeat(256)] {
            let named = Selection::of(Clause::names([wrong.to_owned()])).check();
            assert!(matches!(named, Err(InvalidSelection::InvalidName { clause: 0, .. })), "{wrong:?}");
        }
    }
}
