//! Why a service is not there.

use std::{io, path::PathBuf, time::Duration};

/// Why a service could not be fetched, started or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program of the machine is missing.
    #[error("{program} is needed for {what}, and cannot be started ({why}): install it")]
    Missing {
        /// Which.
        program: &'static str,
        /// What for.
        what: &'static str,
        /// What the system says.
        why: io::Error,
    },
    /// A program of the machine failed.
    #[error("{what} failed: {said}")]
    Failed {
        /// What was to be done.
        what: &'static str,
        /// The end of what the program said.
        said: String,
    },
    /// The service ended, or does not answer.
    #[error("{name} does not answer {}: {said}", within.map_or("and has ended".to_owned(), |limit| format!("within {limit:?}")))]
    NotUp {
        /// Which.
        name: &'static str,
        /// How long it was waited for; none: it has ended.
        within: Option<Duration>,
        /// The end of what it said.
        said: String,
    },
    /// What can be done only while it runs, or only while it does not.
    #[error("{name} {}", if *runs { "runs: stop it first" } else { "does not run: start it first" })]
    Running {
        /// Which.
        name: &'static str,
        /// Whether it runs.
        runs: bool,
    },
    /// What was asked of the service itself.
    #[error("it was asked in vain: {0}")]
    Request(io::Error),
    /// A file or a folder.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// No port is left.
    #[error("no free ports between {0} and {1}: end what listens there")]
    Ports(u16, u16),
    /// The process could not be told.
    #[error("the system refuses a signal: {0}")]
    Signal(io::Error),
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |why| Self::File { path, why }
    }
}
