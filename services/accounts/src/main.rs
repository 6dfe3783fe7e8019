//! accounts.
fn main() {}
