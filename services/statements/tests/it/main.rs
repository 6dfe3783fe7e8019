//! Tests of the statements service, in one binary.
#![allow(clippy::disallowed_methods, reason = "tests read what the repository holds, and play others")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod conformance;
mod consumed_from_accounts;
mod consumed_from_transfers;
mod contracts;
mod daily_totals;
mod pages;
mod quarantine;
mod transfers;
mod world;
