//! Projections at work: events into read models, effect and checkpoint in one transaction.

mod applier;
mod awaited;
mod runner;
mod watermarks;

pub use applier::{AnyProjection, ApplyError, DynProjection, erase};
pub use awaited::{Awaited, Lost};
pub use runner::{ProjectionEnd, ProjectionRunner};
pub use watermarks::{Feed, Phase, Watermarks};
