//! What a check found: where, what, and whether it fails the run.

use std::fmt;

/// Whether a finding fails the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Fails the run.
    Error,
    /// Printed only: a limit is near.
    Warning,
}

/// One broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Whether the run fails.
    pub level: Level,
    /// The file, from the root of the workspace, with forward slashes.
    pub path: String,
    /// The line, from 1; 0 stands for the file as a whole.
    pub line: usize,
    /// What is wrong, and where it helps, what to write instead.
    pub text: String,
    /// The check's name.
    pub check: &'static str,
}

impl Finding {
    /// A finding that fails the run.
    pub fn error(check: &'static str, path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { level: Level::Error, path: path.to_owned(), line, text: text.into(), check }
    }

    /// A finding that is printed only.
    pub fn warning(check: &'static str, path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(check, path, line, text) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "{level}: {}", self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {} [{}]", self.text, self.check)
    }
}

/// Prints the findings, errors last so that they stay in view, and returns how many of them are errors.
pub fn report(mut findings: Vec<Finding>) -> usize {
    findings.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| a.cmp(b)));
    for finding in &findings {
        println!("{finding}");
    }
    findings.iter().filter(|finding| finding.level == Level::Error).count()
}
