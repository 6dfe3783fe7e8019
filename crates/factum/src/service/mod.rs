//! A service put together: its dispatchers, its loops, and the supervisor that owns them.

mod health;

pub use health::{Health, Readiness};
