//! A process that ends with its owner, even with one that is killed.

use std::{
    fs::OpenOptions,
    io::{self, BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::Error;

/// How often it is looked whether a process has ended.
const POLL: Duration = Duration::from_millis(10);

/// Runs the program in the background, says its id, and waits for it. A second process waits for the end of standard
/// input, which comes when the owner is gone, and kills the program. It is the shell that waits for the program, so
/// that its id is nobody else's until then.
const WATCHED: &str = r#"
log=$1; shift
# A shell says that a program was killed, which is nobody's news.
exec 3<&0 2>/dev/null
"$@" 3<&- >>"$log" 2>&1 &
program=$!
echo $program
( read -r _ <&3; kill -s KILL $program ) &
watcher=$!
exec 3<&-
wait $program
ended=$?
kill $watcher
exit $ended
"#;

/// A process that is killed when this is dropped, and when its owner ends in whatever way.
#[derive(Debug)]
pub struct Owned {
    /// The shell; its standard input stays open as long as this lives.
    shell: Child,
    program: Pid,
}

impl Owned {
    /// Starts `program` with what it says appended to `log`. Ctrl-C in a terminal does not reach it.
    ///
    /// # Errors
    /// When there is no shell. A program that is not there ends at once, and the log says so.
    pub fn start(program: &Command, log: &Path) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", WATCHED, "watched"]).arg(log).arg(program.get_program()).args(program.get_args());
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn()?;
        let mut id = String::new();
        if let Some(out) = shell.stdout.take() {
            BufReader::new(out).read_line(&mut id)?;
        }
        let program = id.trim().parse().ok().and_then(Pid::from_raw);
        let program = program.ok_or_else(|| io::Error::other("the shell does not say which process it started"))?;
        Ok(Self { shell, program })
    }

    /// Whether it runs, or is stopped.
    pub fn is_running(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(None))
    }

    #[cfg(test)]
    fn id(&self) -> i32 {
        self.program.as_raw_nonzero().get()
    }

    /// Sends a signal, unless it has ended.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if !self.is_running() {
            return Ok(());
        }
        kill_process(self.program, signal).map_err(|why| Error::Signal(why.into()))
    }

    /// Waits for its end; false: it has not come.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        let begun = Instant::now();
        while self.is_running() {
            if begun.elapsed() > limit {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // One that has ended by itself is of no account.
        let _ = self.signal(Signal::KILL);
        let _ = self.shell.wait();
    }
}

/// Starts `program` so that it outlives whoever started it.
pub fn start_unowned(program: &mut Command, log: &Path) -> io::Result<Child> {
    let out = OpenOptions::new().create(true).append(true).open(log)?;
    let program = program.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
    program.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_there(id: i32) -> bool {
        // A zombie of a shell that nobody has waited for yet is no process that does anything.
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    }

    fn is_gone_soon(id: i32) -> bool {
        let begun = Instant::now();
        while is_there(id) && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(POLL);
        }
        !is_there(id)
    }

    fn sleeper(folder: &Path) -> Owned {
        let mut sleeper = Command::new("sleep");
        sleeper.arg("1000");
        Owned::start(&sleeper, &folder.join("log")).unwrap()
    }

    #[test]
    fn a_process_ends_when_its_owner_lets_go_of_it_even_a_stopped_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = sleeper(folder.path());
        let id = one.id();
        assert!(one.is_running() && is_there(id));
        one.signal(Signal::STOP).unwrap();
        drop(one);
        assert!(is_gone_soon(id));
    }

    #[test]
    fn a_process_ends_when_its_owner_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = sleeper(folder.path());
        // What is left of an owner that was killed: nobody holds the other end of the pipe.
        drop(one.shell.stdin.take());
        assert!(is_gone_soon(one.id()));
        assert!(one.ends_within(Duration::from_secs(10)));
    }

    #[test]
    fn what_a_process_says_is_kept_and_its_end_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo out; echo error >&2; exit 3"]);
        let log = folder.path().join("a log");
        let mut one = Owned::start(&shell, &log).unwrap();
        assert!(one.ends_within(Duration::from_secs(10)));
        assert_eq!(std::fs::read_to_string(log).unwrap(), "out\nerror\n");
        one.signal(Signal::TERM).unwrap();
    }
}
