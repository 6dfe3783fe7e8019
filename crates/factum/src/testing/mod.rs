//! What tests of a service are written with.
//!
//! [`given`]–`when`–`then` tells the story of one rule, without runtime, clock or mock, and proves the wire format of
//! every command and event in it along the way.

mod fixtures;
mod given;
mod story_text;

pub use fixtures::{ACTOR, COMMAND_ID, NOW, NoEvent, SOURCE, delivery};
pub use given::{Decision, IntoEvents, Story, given, given_nothing};
