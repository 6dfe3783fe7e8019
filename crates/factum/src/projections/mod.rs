//! Projections at work: events into read models, effect and checkpoint in one transaction.

mod ahead;
mod applier;
mod awaited;
mod end;
mod leash;
mod moves;
mod pace;
mod runner;
mod share;
mod watermarks;

pub use pace::FillingPace;
pub(crate) use pace::{BatchPace, POLITE_FETCH_RECORDS, Turn, Turns};
pub(crate) use share::Share;

pub use applier::{AnyProjection, ApplyError, DynProjection, erase};
pub use awaited::{Awaited, Unseen};
pub use end::ProjectionEnd;
pub(crate) use leash::{Leash, Work};
pub use moves::Moves;
pub use runner::ProjectionRunner;
pub use watermarks::{Feed, Phase, Progress, Watermarks};
