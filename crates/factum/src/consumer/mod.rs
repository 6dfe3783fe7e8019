//! From the bus into a read model, or to an effect that is recorded in the event store: each message once, in order
//! per lane, and no hole unseen.
//!
//! A message is applied only if `previous ≤ watermark < position`. What was applied before is dropped; what is missing
//! is looked for once from the partition's beginning, then reported. Offsets are places to resume reading; the
//! watermark is the proof.

mod ahead;
mod apply;
mod book;
mod catch_up;
mod effects;
mod end;
mod plan;
mod records;
mod run;
mod show;
mod standstill;
mod start;

pub use effects::{Effect, EffectConsumer, EffectError, Seen};
pub use end::{ConsumerEnd, PartitionStop};
pub use run::ProjectionConsumer;
