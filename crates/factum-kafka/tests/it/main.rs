//! The bus on a real broker: `FACTUM_TEST_KAFKA=host:port`.

mod broker;
mod contract;
mod forgetful;
mod options;
