//! statements.
