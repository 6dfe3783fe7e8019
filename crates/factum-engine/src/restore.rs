//! Restoring a cold copy.

/// Stands in a directory while a store is restored into it.
pub(crate) const UNFINISHED_FILE: &str = "restoring";
