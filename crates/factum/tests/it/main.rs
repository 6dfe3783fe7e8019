//! Tests of factum from the outside, in one binary.

mod derives;
mod given;
mod read_store;
