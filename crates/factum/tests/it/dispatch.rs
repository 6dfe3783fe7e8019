//! The command dispatcher, from the outside.

mod command_ids;
mod conflicts;
mod containment;
mod doors;
mod failures;
mod kept_states;
mod loading;
