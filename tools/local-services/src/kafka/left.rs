//! A broker that was left running for whoever comes.

use std::{
    fs, io,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::wire;
use crate::{Error, home};

/// How long it may take to end.
const END_MAX: Duration = Duration::from_secs(30);
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
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|why| Error::file(&path)(io::Error::other(why))),
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
        fs::write(&path, text).map_err(Error::file(&path))
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

    /// Sends it SIGTERM, and waits until it has ended. Nothing is done when it has already, whoever has its id now.
    ///
    /// # Errors
    /// When it does not end in time, or the system refuses.
    pub fn end(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let mut told = false;
        while self.is_there()? {
            if let (false, Some(pid)) = (told, i32::try_from(self.pid).ok().and_then(Pid::from_raw)) {
                kill_process(pid, Signal::TERM).map_err(|why| Error::Signal(why.into()))?;
                told = true;
            }
            if begun.elapsed() > END_MAX {
                let said = format!("process {} is still there after {END_MAX:?}", self.pid);
                return Err(Error::Failed { what: "ending Kafka", said });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
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
