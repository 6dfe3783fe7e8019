//! factum-engine.
