//! What a compiler does not see: lengths, left-overs, links, the code map.
//!
//! Each check is a function from a [`Tree`] to its findings and knows nothing of the others.

mod code_map;
mod crate_docs;
mod failure_table;
mod functions;
mod lengths;
mod links;
mod machine;
mod markers;
mod whitespace;

pub use code_map::code_map;
pub use crate_docs::crate_docs;
pub use failure_table::failure_table;
pub use functions::functions;
pub use lengths::lengths;
pub use links::links;
pub use machine::machine;
pub use markers::markers;
pub use whitespace::whitespace;

use crate::{Finding, Tree};

/// Every check, in the order in which `cargo xtask tidy --help` names them.
pub const CHECKS: [fn(&Tree) -> Vec<Finding>; 9] =
    [lengths, functions, markers, links, code_map, failure_table, whitespace, machine, crate_docs];

/// Runs every check.
pub fn all(tree: &Tree) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(tree)).collect()
}
