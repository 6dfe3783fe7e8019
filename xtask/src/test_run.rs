//! Runs `cargo test` in view and adds up what its binaries say.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Write},
    process::{Command, Stdio},
};

use anyhow::Context as _;

/// What a test says that cannot be told on this machine, and passes.
const SKIPPED: &str = "SKIPPED ";

/// What all test binaries together said. Displayed as the one line that ends a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Tests that passed, doc tests included.
    pub passed: u64,
    /// Tests that failed. A run that failed without saying so, such as a binary that died, counts as one.
    pub failed: u64,
    /// Stories that were not told, with the reason: they are among those that passed.
    pub skipped: Vec<String>,
}

impl Sum {
    /// Takes a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; …`, or of a story that was skipped; every
    /// other line changes nothing.
    fn read(&mut self, line: &str) {
        self.skipped.extend(line.strip_prefix(SKIPPED).map(str::to_owned));
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let mut words = result.split([' ', ';']).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            let count: u64 = word.parse().unwrap_or(0);
            match words.peek() {
                Some(&"passed") => self.passed += count,
                Some(&"failed") => self.failed += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs the command, passes its output on to `out` and adds up its `test result:` lines.
pub fn run(command: &mut Command, out: &mut dyn Write) -> anyhow::Result<Sum> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let output = child.stdout.take().context("the child's output is piped")?;
    let mut sum = Sum::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        out.flush()?;
        sum.read(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    if !status.success() {
        sum.failed = sum.failed.max(1);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Sum {
        run(Command::new("sh").args(["-c", script]), &mut Vec::new()).unwrap()
    }

    #[test]
    fn the_results_of_all_binaries_are_added_up() {
        let first = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s";
        let second = "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        let sum = shell(&format!("echo '{first}'; echo 'test other ... ok'; echo '{second}'; exit 101"));
        assert_eq!(sum.to_string(), "15 passed, 2 failed");
    }

    #[test]
    fn what_is_skipped_is_listed() {
        let sum = shell("echo 'test a story ... '; echo 'SKIPPED a story: no network'; echo 'test a story ... ok'");
        assert_eq!(sum.skipped, ["a story: no network"]);
    }

    #[test]
    fn the_output_is_passed_on() {
        let mut out = Vec::new();
        run(Command::new("sh").args(["-c", "echo one; printf two"]), &mut out).unwrap();
        assert_eq!(out, b"one\ntwo\n");
    }

    #[test]
    fn a_run_that_dies_without_a_result_counts_as_failed() {
        assert_eq!(shell("exit 101"), Sum { failed: 1, ..Sum::default() });
        assert_eq!(shell("true"), Sum::default());
    }
}
