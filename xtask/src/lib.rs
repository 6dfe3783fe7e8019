//! The workspace's own automation: `cargo xtask test | tidy | check-dependencies | ci | contract | services | bank`, and the long runs
//! `cargo xtask engine-model | engine-kill | engine-flip | fuzz | simulate | torture`.
//!
//! It is ordinary Rust, so that whoever can build the project can also check it, and every check is a function over a
//! [`Tree`] or a dependency [`Graph`](dependencies::Graph) that a test can call with a small broken example. Of the
//! workspace's crates it knows the one only that starts other people's services.
//!
//! ```
//! use xtask::{Tree, tidy};
//!
//! let tree = Tree::of([("src/lib.rs", "//! Docs. \n")]);
//! let findings = tidy::whitespace(&tree);
//! assert_eq!(findings[0].to_string(), "error: src/lib.rs:1: trailing whitespace [whitespace]");
//! ```

mod finding;
mod tree;

mod rust_text;

mod markdown;

pub mod purity;
pub mod tidy;

pub mod dependencies;

pub mod ci;
mod test_run;

pub mod proof;

pub mod services;

pub mod bank;

pub mod contract;
mod surface;

pub mod fuzz_http;

pub use finding::{Finding, Level, report};
pub use tree::Tree;
