//! The built bank, with what only somebody who knows its files can put there.

#![allow(clippy::unwrap_used, reason = "a test")]

mod bank;
mod dead_letters;
