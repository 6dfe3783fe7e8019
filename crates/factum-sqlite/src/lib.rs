//! factum-sqlite.
