//! factum.
