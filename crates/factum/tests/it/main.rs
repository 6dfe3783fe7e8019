//! Tests of factum from the outside, in one binary.
#![allow(clippy::unwrap_used, reason = "what helps a test is a test")]

#[macro_use]
mod passes_on;

mod accounts;
mod broken_buses;
mod broken_generations;
mod broken_read_stores;
mod broken_stores;
mod bus;
mod chance;
mod channel;
mod conformance;
mod consumer;
mod consumer_faults;
mod contract;
mod derives;
mod dispatch;
mod effects;
mod engine_store;
mod event_store;
mod faults;
mod forks;
mod given;
mod guide;
mod left_histories;
mod operator;
mod process;
mod projections;
mod quarantine;
mod queries;
mod reactor;
mod read_store;
mod readme;
mod rebuild;
mod receiver;
mod relay;
mod relay_evidence;
mod relay_faults;
mod restored;
mod rewind;
mod runtime;
mod service;
mod subscription;
mod verdict;
mod watched;
mod world;
