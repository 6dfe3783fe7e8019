//! The engine from outside: what a user of it can rely on.

mod appending;
mod crashing;
mod damage;
mod faults;
mod fixtures;
mod lives;
mod opening;
mod progress;
mod reading;
mod selecting;
mod support;
mod truncating;
