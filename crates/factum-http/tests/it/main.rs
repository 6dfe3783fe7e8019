//! The surfaces as their callers see them: through a router, and where sockets matter, through sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod commands;
mod dead_letters;
mod forks;
mod guide;
mod health;
mod hostile;
mod limits;
mod live;
mod logs;
mod openapi;
mod quarantine;
mod queries;
mod read_models;
mod server;
mod toy;
mod traffic;
mod troubled;
