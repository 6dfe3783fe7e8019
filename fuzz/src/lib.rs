//! Fuzzes decoders on stable Rust: takes valid bytes, mutates them, and calls the decoder.
//!
//! It knows none of our crates. A crate whose decoders are to be fuzzed names it in its `[dev-dependencies]`, describes
//! each decoder as a [`Target`] in a test, [`replay`]s its corpus in every run of the tests and lets [`run`] look for more
//! in a long one. A decoder passes when it neither panics, nor takes memory out of proportion to its input
//! ([`MEMORY_BASE_BYTES_MAX`], [`MEMORY_FACTOR_MAX`]), nor goes on for longer than [`EXECUTION_MAX`].
//!
//! There is no coverage to guide it without a nightly compiler. Instead a target says in a few words how each input ended;
//! an input that ends in a way not seen before is mutated further, and may be kept in the corpus.
//!
//! ```
//! let target = fuzz::Target::new("number", [b"17".to_vec()], |bytes| match str::from_utf8(bytes).map(str::parse::<u8>) {
//!     Ok(Ok(_)) => "read".to_owned(),
//!     Ok(Err(error)) => error.to_string(),
//!     Err(_) => "not UTF-8".to_owned(),
//! });
//! let run = fuzz::Run { executions: 2_000, seed: 1, keep: false };
//! let outcomes = fuzz::run(&[target], std::path::Path::new("no/corpus"), run);
//! assert_eq!(outcomes[0].executions, 2_000);
//! assert!(outcomes[0].endings.contains(&"read".to_owned()));
//! ```

mod mutate;

mod run;
mod target;

pub use run::{EXECUTION_MAX, MEMORY_BASE_BYTES_MAX, MEMORY_FACTOR_MAX, Outcome, Run, replay, run};
pub use target::Target;
