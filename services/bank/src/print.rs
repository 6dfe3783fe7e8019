//! What a tool says: as JSON for programs, or as text.

use std::io::{self, Write};

/// Prints an answer as a JSON document, or its text.
///
/// # Errors
/// Standard output fails.
pub fn print(as_json: bool, answer: &impl serde::Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let text = if as_json { format!("{}\n", serde_json::to_string_pretty(answer)?) } else { text() };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
