//! What others see of the service.
#![allow(clippy::disallowed_methods, reason = "tests read what the repository holds, and play others")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod consumed_from_accounts;
mod contract;
mod contracts;
mod quarantine;
mod schemas;
mod sent_to_accounts;
