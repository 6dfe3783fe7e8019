//! The engine from outside: what a user of it can rely on.

mod appending;
mod closing;
mod crashing;
mod damage;
mod deeds;
mod durability;
mod faults;
mod fixtures;
mod flipping;
mod following;
mod indexing;
mod killed;
mod limits;
mod linearizing;
mod lives;
mod model;
mod opening;
mod progress;
mod reading;
mod restoring;
mod selecting;
mod support;
mod tally;
mod truncating;
mod wishes;
