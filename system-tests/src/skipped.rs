//! Stories that are not told, because the machine lacks something.

use std::io::Write as _;

/// Says that a story is skipped, and why, in a line of its own that no test runner keeps to itself; `cargo xtask test`
/// lists these lines at its end. What `println!` says is not shown when a test passes, as one that is skipped does.
pub fn skipped(story: &str, reason: &str) {
    // The line before may be half written: a name, or dots.
    let line = format!("\nSKIPPED {story}: {}\n", reason.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut out = std::io::stdout().lock();
    // Nothing is left to do when nobody reads it.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}
