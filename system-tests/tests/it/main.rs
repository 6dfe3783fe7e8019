//! Drives built binaries from outside, as operators and users do.

// `cfg(test)` tells clippy that the helpers in here are tests too.
#[cfg(test)]
mod independence;
