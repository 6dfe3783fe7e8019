//! factum-macros.
