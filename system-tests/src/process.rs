//! One process of ours: started, watched, ended, and never left behind.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// How often a condition is looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(5);

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A process that ended, and all it said.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A binary of the workspace, from the folder that this program, a test as a rule, was built into.
///
/// # Errors
/// When it is not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("the path of this test")?;
    // A test is `<profile>/deps/it-…`, a program `<profile>/…`.
    let folder = test.parent().context("the folder of this program")?;
    let profile = if folder.ends_with("deps") { folder.parent().context("the folder above")? } else { folder };
    let path = profile.join(name);
    ensure!(path.is_file(), "{} is not built: run `cargo xtask test`", path.display());
    Ok(path)
}

impl Process {
    /// Starts `command`; what it says goes to files `<name>.out` and `<name>.err` in `folder`, made anew.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, folder: &Path, name: &str) -> anyhow::Result<Self> {
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let file = |path| OpenOptions::new().create(true).write(true).truncate(true).open(path);
        command.stdin(Stdio::null()).stdout(file(&stdout)?).stderr(file(&stderr)?);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, stdout, stderr })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it said on standard error until now, for messages.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// What it said on standard output until now.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Sends SIGTERM: what an operator's `kill` does.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        self.signal("TERM")
    }

    /// Sends SIGSTOP: no code of the process runs until [`Process::resume`].
    ///
    /// # Errors
    /// When it is gone already.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    /// Sends SIGCONT.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    /// Sends SIGINT: what Ctrl-C does.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn interrupt(&mut self) -> anyhow::Result<()> {
        self.signal("INT")
    }

    fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        // An ended process that was waited for no longer owns its id.
        ensure!(!self.has_ended()?, "{} has ended already: {}", self.name, self.stderr());
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status().context("running kill")?;
        ensure!(sent.success(), "kill -s {signal} {id}: {sent}");
        Ok(())
    }

    /// Sends SIGKILL and waits: no code of the process runs any more.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it has not ended in time; it is killed then.
    pub async fn end_within(mut self, limit: Duration) -> anyhow::Result<Ended> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Ended { status, stdout: self.stdout(), stderr: self.stderr() });
            }
            if begun.elapsed() > limit {
                bail!("{} has not ended within {limit:?}: {}", self.name, self.stderr());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.kill();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("<{error}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command, folder, "shell").unwrap()
    }

    async fn has_said(process: &Process, word: &str) {
        while !process.stdout().contains(word) {
            tokio::time::sleep(POLL).await;
        }
    }

    #[tokio::test]
    async fn what_a_process_said_and_how_it_ended_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let process = shell(folder.path(), "echo out; echo err >&2; exit 3");
        let ended = process.end_within(Duration::from_secs(20)).await.unwrap();
        assert_eq!((ended.status.code(), ended.stdout.trim(), ended.stderr.trim()), (Some(3), "out", "err"));
    }

    #[tokio::test]
    async fn a_signal_reaches_it_and_an_ended_process_gets_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell(folder.path(), "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
        has_said(&process, "ready").await;
        process.terminate().unwrap();
        while !process.has_ended().unwrap() {
            tokio::time::sleep(POLL).await;
        }
        assert!(process.terminate().unwrap_err().to_string().contains("has ended already"));
        assert_eq!(process.end_within(Duration::ZERO).await.unwrap().status.code(), Some(7));
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_killed_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let process = shell(folder.path(), "echo waiting >&2; exec sleep 600");
        let id = process.id();
        let late = process.end_within(Duration::from_millis(50)).await.unwrap_err();
        assert!(late.to_string().starts_with("shell has not ended within 50ms"), "{late}");
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "nothing is left behind");
    }

    #[test]
    fn a_binary_that_is_not_built_says_what_to_do() {
        let missing = binary("no-such-program").unwrap_err().to_string();
        assert!(missing.ends_with("no-such-program is not built: run `cargo xtask test`"), "{missing}");
    }
}
