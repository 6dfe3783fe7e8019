//! Who may import whom, checked against `cargo metadata`.
//!
//! [`RULES`] is the table, one row a crate or family; [`check`] holds a [`Graph`] against it. A crate without a row is an
//! error: a new kind of crate decides first whom it may know.

mod check;
mod graph;
mod rules;

pub use check::check;
pub use graph::{Graph, Kind, Member, Need};
pub use rules::{Foreign, HOMES, Home, Ours, RULES, Rule, Who};
