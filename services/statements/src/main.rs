//! statements.
fn main() {}
