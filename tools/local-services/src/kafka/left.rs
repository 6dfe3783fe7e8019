//! A broker that was left running for whoever comes.

use std::{
    fs, io,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use serde::{Deserialize, Serialize};

use super::wire;
use crate::{Error, home};

/// How long it may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(30);
/// How long it may take to be gone when it is killed.
const KILL_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const POLL: Duration = Duration::from_millis(50);

/// A broker that was left running, as `kafka.json` among the fetched files tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Where it is, `host:port`.
    pub bootstrap: String,
    /// Its process.
    pub pid: u32,
    /// Where its data and what it says are.
    pub folder: PathBuf,
}

impl Left {
    /// The broker that was left running, if it answers.
    ///
    /// # Errors
    /// When what tells of it cannot be read.
    pub fn find() -> Result<Option<Self>, Error> {
        Ok(Self::told()?.filter(|left| wire::answers(&left.bootstrap)))
    }

    /// The same whether it answers or not.
    ///
    /// # Errors
    /// As [`Left::find`].
    pub fn told() -> Result<Option<Self>, Error> {
        let path = Self::path()?;
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|why| {
                let why = format!("it tells of no broker ({why}): end what it may be about, and remove it");
                Error::file(&path)(io::Error::other(why))
            }),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(Error::file(&path)(why)),
        }
    }

    /// Tells others of it.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn tell(&self) -> Result<(), Error> {
        let path = Self::path()?;
        let text = serde_json::to_string_pretty(self).map_err(|why| Error::file(&path)(io::Error::other(why)))?;
        // Whoever looks meanwhile finds all of it or nothing.
        let new = path.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(Error::file(&path))
    }

    /// Tells nobody of it any more.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget() -> Result<(), Error> {
        let path = Self::path()?;
        match fs::remove_file(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(Error::file(&path)(why)),
            _ => Ok(()),
        }
    }

    /// Ends it, also when it was stopped (SIGSTOP): asks it to, and kills it when it has not ended within 30 s. False: it had
    /// ended already, and nothing is done, whoever has its id now.
    ///
    /// # Errors
    /// When it is there all the same, or the system refuses.
    pub fn end(&self) -> Result<bool, Error> {
        if !self.signal(Signal::TERM)? {
            return Ok(false);
        }
        self.signal(Signal::CONT)?;
        if !self.is_gone_within(END_MAX)? {
            self.signal(Signal::KILL)?;
            if !self.is_gone_within(KILL_MAX)? {
                let said = format!("process {} is still there after SIGKILL", self.pid);
                return Err(Error::Failed { what: "ending Kafka", said });
            }
        }
        Ok(true)
    }

    /// Sends it a signal; false: it is not there.
    fn signal(&self, signal: Signal) -> Result<bool, Error> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
        if !self.is_there()? {
            return Ok(false);
        }
        match kill_process(pid, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(why) => Err(Error::Signal(why.into())),
        }
    }

    fn is_gone_within(&self, limit: Duration) -> Result<bool, Error> {
        let begun = Instant::now();
        while self.is_there()? {
            if begun.elapsed() > limit {
                return Ok(false);
            }
            std::thread::sleep(POLL);
        }
        Ok(true)
    }

    /// Whether the process is there, and is this broker.
    fn is_there(&self) -> Result<bool, Error> {
        let shown = Command::new("ps").args(["-o", "stat=,args=", "-p", &self.pid.to_string()]).output();
        let shown = shown.map_err(|why| Error::Missing { program: "ps", what: "ending Kafka", why })?.stdout;
        let shown = String::from_utf8_lossy(&shown);
        Ok(!shown.trim_start().starts_with('Z') && shown.contains(&*self.folder.to_string_lossy()))
    }

    fn path() -> Result<PathBuf, Error> {
        Ok(home()?.join("kafka.json"))
    }
}
