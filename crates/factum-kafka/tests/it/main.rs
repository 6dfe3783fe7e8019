//! The bus on a real broker: `FACTUM_TEST_KAFKA=host:port`.

mod broker;
mod contract;
mod forgetful;
mod options;
mod paused;
mod tails;
// `cfg(test)` tells clippy that the helpers in here are tests too.
#[cfg(test)]
mod twins;
