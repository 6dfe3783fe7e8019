//! What others see of the service.
#![allow(clippy::disallowed_methods, reason = "tests read what the repository holds, and play others")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bus_commands;
mod conformance;
mod contract;
mod large_withdrawals;
mod receiver;
mod schemas;
mod transfers;
mod translation;
