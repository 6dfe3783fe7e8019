//! What a tool says: as JSON for programs, or as text.

use std::io::{self, IsTerminal as _, Write};

use clap::Args;

use crate::client::BankAddress;

/// What every tool for operators is told: whom to ask, and how to answer.
#[derive(Debug, Args)]
pub struct Common {
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub bank: BankAddress,
}

/// Prints an answer as a JSON document, or its text: in which what others sent commands no terminal.
///
/// # Errors
/// Standard output fails.
pub fn print(as_json: bool, answer: &impl serde::Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let text = if as_json { format!("{}\n", serde_json::to_string_pretty(answer)?) } else { harmless(&text()) };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// What others sent in one line of its own.
pub fn line(text: &str) -> String {
    harmless(&text.replace('\n', "\\n"))
}

/// Without control characters, but for the ends of lines.
fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// A line on standard error that is written over again on a terminal; elsewhere a line each time it changes.
#[derive(Default)]
pub struct HowFar {
    shown: String,
}

impl HowFar {
    /// Shows how far it is.
    ///
    /// # Errors
    /// Standard error fails.
    pub fn show(&mut self, text: String) -> io::Result<()> {
        if text != self.shown {
            let mut err = io::stderr().lock();
            if err.is_terminal() {
                // Back to the beginning, and whatever was there is cleared.
                write!(err, "\r\x1b[2K{text}")?;
                err.flush()?;
            } else {
                writeln!(err, "{text}")?;
            }
            self.shown = text;
        }
        Ok(())
    }

    /// Makes room for what follows.
    ///
    /// # Errors
    /// Standard error fails.
    pub fn end(&self) -> io::Result<()> {
        let mut err = io::stderr().lock();
        if err.is_terminal() && !self.shown.is_empty() {
            write!(err, "\r\x1b[2K")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_sent_moves_no_cursor_and_poses_as_no_line() {
        assert_eq!(harmless("a\u{1b}[2J\r\u{9b}b\n"), "a\\u{1b}[2J\\r\\u{9b}b\n");
        assert_eq!(line("{}\n6f1a7c1e nothing is wrong\u{7}"), "{}\\n6f1a7c1e nothing is wrong\\u{7}");
    }
}
