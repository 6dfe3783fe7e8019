//! Positions in a store and versions of a stream.

use std::fmt;

/// Place of an event in the whole store: dense, from 1, in commit order.
///
/// A position means something only together with the store's id and incarnation
/// ([`Identity`](crate::Identity)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// Before the first event.
    pub const ZERO: Position = Position(0);
    /// Behind every event there will ever be: where a backward read from the head starts.
    pub const MAX: Position = Position(u64::MAX);

    /// The position with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Position(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one; [`Position::MAX`] stays where it is.
    #[must_use]
    pub const fn next(self) -> Self {
        Position(self.0.saturating_add(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of events in a stream; the first event carries version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(u64);

impl Version {
    /// Of a stream without events.
    pub const ZERO: Version = Version(0);
    /// Behind every version: where a backward read from a stream's end starts.
    pub const MAX: Version = Version(u64::MAX);

    /// The version with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Version(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one; [`Version::MAX`] stays where it is.
    #[must_use]
    pub const fn next(self) -> Self {
        Version(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
