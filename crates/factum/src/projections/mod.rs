//! Projections at work: events into read models, effect and checkpoint in one transaction.

mod applier;
mod watermarks;

pub use applier::{AnyProjection, ApplyError, DynProjection};
pub use watermarks::{Feed, Watermarks};
