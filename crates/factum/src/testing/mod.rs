//! What tests of a service, and of a store, are written with.
//!
//! [`given`]–`when`–`then` tells the story of one rule, without runtime, clock or mock, and proves the wire format of
//! every command and event in it along the way.
//!
//! Process managers have stories of the same kind, of what they hear ([`Story::hears`]) and send
//! ([`Story::then_sends`]); [`assert_total`] tries every input on every state.
//!
//! [`read_model`]–`after`–`ask` does the same for a projection and the queries that answer from it.
//!
//! [`settle`] waits, instead of a sleep, until nothing is under way between services.
//!
//! [`FaultyStore`] lets a test fail, hold up or count the calls of an event store.
//!
//! [`event_store_suite`], [`read_store_suite`] and [`bus_suite`] are contract suites, ordinary functions that take a
//! factory: an adapter of yours passes them, or it is no such store. Where it outlives its process, the reopening suites
//! ([`event_store_reopening_suite`], [`read_store_reopening_suite`], [`bus_reopening_suite`]) as well. A suite runs
//! every case, each on a new store, and then panics with the names of those that failed and why.
//!
//! [`conformance`] tries handlers of yours, such as projections, under everything that happens in production.
//!
//! [`assert_contract`] holds what a service publishes against the contract that others read.

mod bus;
mod case;
pub mod conformance;
mod contract;
mod decision;
mod event_store;
mod faulty_store;
mod fixtures;
mod given;
mod into_events;
mod process;
mod read_model;
mod read_store;
pub mod simulation;
mod story_text;

pub use bus::{bus_reopening_suite, bus_suite};
pub use contract::{BREAK_CONTRACT, RELEASE_CONTRACT, UPDATE_CONTRACT, assert_contract};
pub use decision::Decision;
pub use event_store::{event_store_reopening_suite, event_store_suite};
pub use faulty_store::{Fault, FaultyStore, Interference, StoreCall};
pub use fixtures::{ACTOR, COMMAND_ID, NOW, NoEvent, SOURCE, delivery};
pub use given::{Story, given, given_nothing};
pub use into_events::IntoEvents;
pub use process::assert_total;
pub use read_model::{ReadModel, read_model};
pub use read_store::{
    read_generations_reopening_suite, read_generations_suite, read_store_reopening_suite, read_store_suite,
};

pub use simulation::{Chaos, Mishap, Odds, Process, Simulation, Steps};

pub use crate::service::{SettleError, settle};
