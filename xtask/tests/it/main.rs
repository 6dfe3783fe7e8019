//! The checks on whole workspaces: this one, and broken copies of it.

// `cfg(test)` tells clippy that the helpers in here are tests too.
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod disallowed;
