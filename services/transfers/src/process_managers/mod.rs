//! What happens over time, between aggregates of others that do not know each other. Pure, like the domain.

mod transfer;

#[cfg(test)]
mod transfer_tests;

pub use transfer::{CAPTURE, CREDIT, HOLD, RELEASE, STEP_TIME_MAX};
