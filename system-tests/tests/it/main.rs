//! The bank as its users have it: built binaries, HTTP, files, signals. A file is a story.

mod asyncapi;
mod bad_input;
mod command_line;
mod deleted_state;
// For the helpers' sake, as below.
#[cfg(test)]
mod distributed;
mod first_service;
// `cfg(test)` tells clippy that the helpers in here are tests too.
#[cfg(test)]
mod independence;
mod killed;
mod live;
mod load_and_audit;
mod openapi;
mod operate;
mod page_requests;
// For the helpers' sake, as above.
#[cfg(test)]
mod places;
mod quarantine;
mod racing;
mod readme;
mod rebuilding;
mod restored;
mod standby;
mod teller;
mod tools;
mod trace;
mod under_load;
mod walk;
