//! bank.
fn main() {}
