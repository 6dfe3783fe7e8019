//! The conformance kit: what happens to handlers in production, on purpose, to a handler of yours.
//!
//! A handler is tried with a sample history ([`Sample`]) in a service of its own, on stores and a bus in memory, with
//! the loops that run it in production: once undisturbed, and then once for each seed while messages come twice, with
//! holes and in any order of partitions, calls fail, the process dies between any two steps, a twin starts beside it,
//! and read models are built anew. In the end it must have come to the same.
//!
//! The same seed does the same again; a failure names it, what was done, and the first difference.

mod diary;
mod documents;
mod house;
mod lanes;
mod process_managers;
mod projections;
mod reactors;
mod receiver;
mod recorded;
mod sample;
mod trial;

pub use process_managers::{process_manager, process_manager_over};
pub use projections::{own_projection, own_projection_over, projection, projection_over};
pub use reactors::{reactor, reactor_over};
pub use receiver::{Answer, Asked};
pub use sample::{Sample, TOPIC};

use crate::testing::Odds;

/// How many seeds a projection or a reactor is tried with.
pub const SEEDS: u64 = 50;
/// How many seeds a process manager is tried with: there is more to each of its runs.
pub const PROCESS_SEEDS: u64 = 20;

/// How often calls fail, take long, or are the last ones of their process.
const ODDS: Odds = Odds { failure: 300, delay: 300, death: 150 };
/// A world without misfortune.
const CALM: Odds = Odds { failure: 0, delay: 0, death: 0 };
