//! Commands that other services send over the bus.
//!
//! There is a topic for each pair, `<system>.<receiver>.commands.<sender>`, so that the sender is who the topic says.
//! Each command ends in exactly one recorded outcome under its id: its events, or one event that says that it was
//! refused, or that there was nothing to do. A cancel records a refusal under an id that is not taken. All of these are
//! appended under the same command id, so that they exclude each other.
//!
//! What is no command, because not even an id can be read, is kept as a dead letter ([`DeadLetters`]), with an alarm
//! until somebody acknowledges it.

mod dead_letter;
mod dead_letters;
mod outcome;
mod receive;
mod takes;

pub use dead_letters::{DeadLetter, DeadLetterError, DeadLetters};
pub use outcome::{CommandNothingToDo, CommandRefused};
pub use takes::Takes;

pub(crate) use dead_letter::DEAD_LETTER_CATEGORY;
pub(crate) use dead_letters::DEAD_LETTERS_ALARM;
pub(crate) use outcome::{OUTCOME_CATEGORY, OUTCOME_MESSAGES, OUTCOME_PARTITIONS, outcome_topic, outcomes};
pub(crate) use receive::Receiver;
